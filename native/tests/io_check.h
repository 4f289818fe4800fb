// What the tests of files share.
#pragma once

#include "harness.h"
#include "runtime/error.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace io_check {

using bytes = std::vector<uint8_t>;

// A folder of one's own, gone afterwards.
class folder {
public:
    folder() {
        std::random_device device;
        path_ = std::filesystem::temp_directory_path() / ("continual-test-" + std::to_string(device()) + std::to_string(device()));
        std::filesystem::create_directories(path_);
    }
    ~folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    folder(const folder &) = delete;
    folder & operator=(const folder &) = delete;

    std::string operator/(const std::string & name) const { return (path_ / name).string(); }
    std::size_t files() const { return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {})); }

private:
    std::filesystem::path path_;
};

inline bytes read(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write(const std::string & path, const bytes & data) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(data.data()), static_cast<std::streamsize>(data.size()));
}

inline bytes of(std::string_view text) {
    return {text.begin(), text.end()};
}

// The message, when the call throws `error`; other exceptions are not caught.
template <typename Call>
std::optional<std::string> refusal(Call && call) {
    try {
        call();
        return {};
    } catch (const continual::error & e) {
        return e.what();
    }
}

template <typename Call>
void check_refused(const char * file, int line, Call && call, const std::string & part) {
    const std::optional<std::string> message = refusal(call);
    if (!message) {
        continual_tests::report(file, line, "was not refused; expected \"" + part + "\"");
    } else if (message->find(part) == std::string::npos) {
        continual_tests::report(file, line, "was refused with \"" + *message + "\", expected \"" + part + "\"");
    }
}

// The same data with something wrong in it, or sometimes not.
inline bytes mutated(const bytes & data, std::mt19937 & random) {
    static const uint64_t numbers[] = {0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
    bytes result = data;
    const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
    for (std::size_t changes = 1 + below(3); changes > 0 && !result.empty(); changes--) {
        const std::size_t at = below(result.size());
        switch (below(6)) {
        case 0:
            result[at] = static_cast<uint8_t>(result[at] ^ (1u << below(8)));
            break;
        case 1:
            result[at] = static_cast<uint8_t>(random());
            break;
        case 2: {
            const uint64_t number = numbers[below(std::size(numbers))];
            const std::size_t size = std::min<std::size_t>(below(2) == 0 ? 4 : 8, result.size() - at);
            std::memcpy(result.data() + at, &number, size);
            break;
        }
        case 3:
            result.resize(at);
            break;
        case 4: {
            const std::size_t length = std::min(below(40), result.size() - at);
            const bytes piece(result.begin() + static_cast<std::ptrdiff_t>(at), result.begin() + static_cast<std::ptrdiff_t>(at + length));
            result.insert(result.begin() + static_cast<std::ptrdiff_t>(below(result.size() + 1)), piece.begin(), piece.end());
            break;
        }
        default:
            result.erase(result.begin() + static_cast<std::ptrdiff_t>(at), result.begin() + static_cast<std::ptrdiff_t>(at + std::min(below(20), result.size() - at)));
            break;
        }
    }
    // Exactly as long as it says, so that a sanitizer sees a byte too far.
    return bytes(result);
}

} // namespace io_check

#define CHECK_REFUSED(call, part) io_check::check_refused(__FILE__, __LINE__, [&] { call; }, part)
