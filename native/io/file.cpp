#include "io/file.h"

#include "io/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace continual {

namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

std::string reason(int code) {
    return std::system_category().message(code);
}

#if defined(_WIN32)

std::wstring wide(const std::string & text) {
    const int length = MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
    std::wstring result(static_cast<std::size_t>(std::max(length, 1)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, result.data(), length);
    result.pop_back();
    return result;
}

HANDLE as_handle(intptr_t value) {
    return reinterpret_cast<HANDLE>(value);
}

#else

int64_t time_of(const struct stat & found) {
#if defined(__APPLE__)
    return static_cast<int64_t>(found.st_mtimespec.tv_sec) * 1000000000 + found.st_mtimespec.tv_nsec;
#else
    return static_cast<int64_t>(found.st_mtim.tv_sec) * 1000000000 + found.st_mtim.tv_nsec;
#endif
}

std::string folder_of(const std::string & path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

#endif

} // namespace

#if defined(_WIN32)

bool mapped_file::look(const std::string & path, identity & found) noexcept {
    try {
        const HANDLE file = CreateFileW(wide(path).c_str(), 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
        if (file == INVALID_HANDLE_VALUE) {
            return false;
        }
        BY_HANDLE_FILE_INFORMATION info;
        const bool known = GetFileInformationByHandle(file, &info) != 0;
        CloseHandle(file);
        if (!known) {
            return false;
        }
        const auto join = [](DWORD high, DWORD low) { return static_cast<uint64_t>(high) << 32 | low; };
        found.device = info.dwVolumeSerialNumber;
        found.number = join(info.nFileIndexHigh, info.nFileIndexLow);
        found.size = static_cast<int64_t>(join(info.nFileSizeHigh, info.nFileSizeLow));
        found.written = static_cast<int64_t>(join(info.ftLastWriteTime.dwHighDateTime, info.ftLastWriteTime.dwLowDateTime));
        return true;
    } catch (...) {
        return false;
    }
}

mapped_file::mapped_file(const std::string & path) : path_(path) {
    const HANDLE file = CreateFileW(wide(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) {
        refuse(path, "cannot be opened: " + reason(static_cast<int>(GetLastError())));
    }
    if (!look(path, identity_)) {
        CloseHandle(file);
        refuse(path, "cannot be looked at");
    }
    size_ = identity_.size;
    if (size_ > 0) {
        const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
        data_ = mapping == nullptr ? nullptr : static_cast<const uint8_t *>(MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0));
        const int code = static_cast<int>(GetLastError());
        if (mapping != nullptr) {
            CloseHandle(mapping);
        }
        if (data_ == nullptr) {
            CloseHandle(file);
            refuse(path, "cannot be mapped into memory: " + reason(code));
        }
    }
    CloseHandle(file);
}

mapped_file::~mapped_file() {
    if (data_ != nullptr) {
        UnmapViewOfFile(data_);
    }
}

atomic_file::atomic_file(const std::string & path) : path_(path), part_(path + ".part") {
    buffer_.reserve(buffer_bytes);
    const HANDLE file = CreateFileW(wide(part_).c_str(), GENERIC_WRITE | DELETE, 0, nullptr, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) {
        const int code = static_cast<int>(GetLastError());
        refuse(path, code == ERROR_SHARING_VIOLATION ? "is being written by another process. Let it end, or choose another path." : "cannot be written: " + reason(code));
    }
    handle_ = reinterpret_cast<intptr_t>(file);
}

void atomic_file::flush() {
    std::size_t done = 0;
    while (done < buffer_.size()) {
        DWORD written = 0;
        if (WriteFile(as_handle(handle_), buffer_.data() + done, static_cast<DWORD>(buffer_.size() - done), &written, nullptr) == 0) {
            fail("writing it", static_cast<int>(GetLastError()));
        }
        done += written;
    }
    buffer_.clear();
}

void atomic_file::commit() {
    flush();
    if (FlushFileBuffers(as_handle(handle_)) == 0) {
        fail("writing it to the disk", static_cast<int>(GetLastError()));
    }
    CloseHandle(as_handle(handle_));
    handle_ = -1;
    if (MoveFileExW(wide(part_).c_str(), wide(path_).c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) == 0) {
        fail("putting it in place", static_cast<int>(GetLastError()));
    }
    part_.clear();
}

void atomic_file::abandon() noexcept {
    if (handle_ != -1) {
        CloseHandle(as_handle(handle_));
        handle_ = -1;
    }
    if (!part_.empty()) {
        try {
            DeleteFileW(wide(part_).c_str());
        } catch (...) { // no memory for the name: the next writer takes the file over
        }
        part_.clear();
    }
}

#else

bool mapped_file::look(const std::string & path, identity & found) noexcept {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) {
        return false;
    }
    found = {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino), static_cast<int64_t>(info.st_size), time_of(info)};
    return true;
}

mapped_file::mapped_file(const std::string & path) : path_(path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        refuse(path, "cannot be opened: " + reason(errno));
    }
    struct stat info;
    if (::fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(file);
        refuse(path, "is not a file");
    }
    identity_ = {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino), static_cast<int64_t>(info.st_size), time_of(info)};
    size_ = identity_.size;
    if (size_ > 0) {
        void * const data = ::mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ, MAP_SHARED, file, 0);
        if (data == MAP_FAILED) {
            const int code = errno;
            ::close(file);
            refuse(path, "cannot be mapped into memory: " + reason(code));
        }
        data_ = static_cast<const uint8_t *>(data);
    }
    ::close(file);
}

mapped_file::~mapped_file() {
    if (data_ != nullptr) {
        ::munmap(const_cast<uint8_t *>(data_), static_cast<std::size_t>(size_));
    }
}

atomic_file::atomic_file(const std::string & path) : path_(path), part_(path + ".part") {
    buffer_.reserve(buffer_bytes);
    for (;;) {
        const int file = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (file < 0) {
            refuse(path, "cannot be written: " + reason(errno));
        }
        struct stat mine;
        struct stat named;
        if (::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            ::close(file);
            refuse(path, "is being written by another process. Let it end, or choose another path.");
        }
        // Between open and lock the other writer may have finished, and then this is its file: whoever truncated it now would empty a good one.
        if (::fstat(file, &mine) == 0 && ::stat(part_.c_str(), &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) {
            handle_ = file;
            break;
        }
        ::close(file);
    }
    if (::ftruncate(static_cast<int>(handle_), 0) != 0) {
        fail("emptying what was left of the last try", errno);
    }
}

void atomic_file::flush() {
    std::size_t done = 0;
    while (done < buffer_.size()) {
        const ssize_t written = ::write(static_cast<int>(handle_), buffer_.data() + done, buffer_.size() - done);
        if (written < 0 && errno != EINTR) {
            fail("writing it", errno);
        }
        done += written > 0 ? static_cast<std::size_t>(written) : 0;
    }
    buffer_.clear();
}

void atomic_file::commit() {
    flush();
    if (::fsync(static_cast<int>(handle_)) != 0) {
        fail("writing it to the disk", errno);
    }
    // The file's name moves while the lock is held; closing lets go of it.
    if (::rename(part_.c_str(), path_.c_str()) != 0) {
        fail("putting it in place", errno);
    }
    part_.clear();
    ::close(static_cast<int>(handle_));
    handle_ = -1;
    const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        refuse(path_, "was written, but its folder could not be flushed: " + reason(errno));
    }
    const int status = ::fsync(folder);
    const int code = errno;
    ::close(folder);
    // EINVAL: a file system that has no such thing for folders.
    if (status != 0 && code != EINVAL) {
        refuse(path_, "was written, but its folder could not be flushed: " + reason(code));
    }
}

void atomic_file::abandon() noexcept {
    if (!part_.empty() && handle_ != -1) {
        ::unlink(part_.c_str());
        part_.clear();
    }
    if (handle_ != -1) {
        ::close(static_cast<int>(handle_));
        handle_ = -1;
    }
}

#endif

mapped_file::mapped_file(mapped_file && other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), identity_(other.identity_) {}

bool mapped_file::changed() const noexcept {
    identity now;
    return !look(path_, now) || !(now == identity_);
}

atomic_file::~atomic_file() {
    abandon();
}

void atomic_file::write(const void * data, int64_t size) {
    const char * from = static_cast<const char *>(data);
    size_ += size;
    while (size > 0) {
        const int64_t part = std::min(size, static_cast<int64_t>(buffer_bytes - buffer_.size()));
        buffer_.append(from, static_cast<std::size_t>(part));
        from += part;
        size -= part;
        if (buffer_.size() == buffer_bytes) {
            flush();
        }
    }
}

void atomic_file::pad(int64_t size) {
    static constexpr char zeros[64] = {};
    for (; size > 0; size -= 64) {
        write(zeros, std::min<int64_t>(size, 64));
    }
}

void atomic_file::fail(const char * doing, int code) {
    abandon();
#if defined(_WIN32)
    const bool full = code == ERROR_DISK_FULL || code == ERROR_HANDLE_DISK_FULL;
#else
    const bool full = code == ENOSPC || code == EDQUOT;
#endif
    refuse(path_, full ? "the disk is full: there is no room for " + std::to_string(size_) + " bytes. Free some space or choose another folder; what was there before is unharmed."
                       : std::string(doing) + " failed: " + reason(code) + ". What was there before is unharmed.");
}

std::string read_text(const std::string & path, int64_t limit) {
    const mapped_file file(path);
    const std::span<const uint8_t> bytes = file.bytes();
    if (static_cast<int64_t>(bytes.size()) > limit) {
        refuse(path, "has " + std::to_string(bytes.size()) + " bytes, where at most " + std::to_string(limit) + " are expected");
    }
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

void write_text(const std::string & path, const std::string & text) {
    atomic_file file(path);
    file.write(text.data(), static_cast<int64_t>(text.size()));
    file.commit();
}

} // namespace continual
