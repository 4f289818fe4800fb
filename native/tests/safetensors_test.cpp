#include "io/safetensors.h"

#include "io_check.h"

using continual::safetensors_reader;
using continual::safetensors_tensor;
using continual::tensor_type;
using io_check::bytes;
using io_check::folder;

namespace {

bytes by_hand(std::string_view header, std::size_t data) {
    bytes file(8 + header.size() + data, 0x3f);
    const uint64_t length = header.size();
    std::memcpy(file.data(), &length, sizeof length);
    std::memcpy(file.data() + 8, header.data(), header.size());
    return file;
}

void read(std::string_view header, std::size_t data) {
    const bytes file = by_hand(header, data);
    const safetensors_reader reader(file, "a.safetensors");
}

bytes example(const folder & folder) {
    static const float floats[6] = {1, -2, 3, 4, 5, 0.5f};
    static const uint16_t halves[3] = {0x3c00, 0xc000, 0x0001};
    static const uint16_t bf16s[2] = {0x3f80, 0xc000};
    const auto raw = [](const auto & values) { return std::span(reinterpret_cast<const uint8_t *>(&values), sizeof values); };
    const std::vector<safetensors_tensor> tensors = {
        {"model.a", tensor_type::f32, {2, 3}, raw(floats)},
        {"model.\"b\"", tensor_type::f16, {3}, raw(halves)},
        {"model.c", tensor_type::bf16, {1, 2, 1}, raw(bf16s)},
    };
    const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}, {"note", "x\ny"}};
    write_safetensors(folder / "a.safetensors", tensors, metadata);
    return io_check::read(folder / "a.safetensors");
}

} // namespace

TEST(safetensors_comes_back_as_it_was_written) {
    const folder folder;
    const bytes file = example(folder);
    const safetensors_reader reader(file, "a.safetensors");
    CHECK_EQ(reader.tensors().size(), 3u);
    CHECK((reader.metadata() == std::vector<std::pair<std::string, std::string>>{{"format", "pt"}, {"note", "x\ny"}}));
    CHECK((reader.find("model.a")->floats() == std::vector<float>{1, -2, 3, 4, 5, 0.5f}));
    CHECK((reader.find("model.a")->shape == std::vector<int64_t>{2, 3}));
    CHECK((reader.find("model.\"b\"")->floats() == std::vector<float>{1, -2, 0x1p-24f}));
    CHECK((reader.find("model.c")->floats() == std::vector<float>{1, -2}));
    CHECK(reader.find("model") == nullptr);
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    CHECK_EQ(length % 8, 0u);
}

TEST(safetensors_of_another_program_is_read) {
    // Keys and offsets in any order, a header of odd length, a scalar.
    const bytes file = by_hand("{\"b\":{\"data_offsets\":[4,12],\"shape\":[2],\"dtype\":\"F32\"},\"__metadata__\":{},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}  ", 12);
    const safetensors_reader reader(file, "a.safetensors");
    CHECK_EQ(reader.find("a")->elements(), 1);
    CHECK_EQ(reader.find("b")->floats().size(), 2u);
    CHECK(reader.find("b")->bytes.data() == reader.find("a")->bytes.data() + 4);
    read("{}", 0);
}

TEST(hostile_safetensors_is_refused_with_the_reason) {
    CHECK_REFUSED(safetensors_reader(bytes(7), "a"), "it has 7 bytes");
    CHECK_REFUSED(safetensors_reader(bytes(100, 0xff), "a"), "its header should have");
    CHECK_REFUSED(read("[]", 0), "does not begin with '{'");
    CHECK_REFUSED(read(" {}", 0), "does not begin with '{'");
    CHECK_REFUSED(read("{\"a\":}", 0), "not JSON");
    CHECK_REFUSED(read("{\"a\":1}", 0), "lacks a dtype");
    const auto one = [](std::string_view dtype, std::string_view shape, std::string_view offsets, std::size_t data) {
        read("{\"a\":{\"dtype\":" + std::string(dtype) + ",\"shape\":" + std::string(shape) + ",\"data_offsets\":" + std::string(offsets) + "}}", data);
    };
    one("\"F32\"", "[2]", "[0,8]", 8);
    CHECK_REFUSED(one("\"F64\"", "[1]", "[0,8]", 8), "type 'F64'; F32, F16 and BF16 are read");
    CHECK_REFUSED(one("32", "[2]", "[0,8]", 8), "lacks a dtype");
    CHECK_REFUSED(one("\"F32\"", "2", "[0,8]", 8), "lacks a dtype");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[0,8,9]", 8), "two data_offsets");
    CHECK_REFUSED(one("\"F32\"", "[2.0]", "[0,8]", 8), "impossible shape");
    CHECK_REFUSED(one("\"F32\"", "[-2]", "[0,8]", 8), "impossible shape");
    CHECK_REFUSED(one("\"F32\"", "[0]", "[0,0]", 0), "impossible shape");
    CHECK_REFUSED(one("\"F32\"", "[4294967296,4294967296]", "[0,8]", 8), "impossible shape");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[0,12]", 12), "12 bytes, where its shape wants 8");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[0,8]", 7), "goes beyond its end");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[8,0]", 8), "goes beyond its end");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[-8,0]", 8), "goes beyond its end");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[0.0,8]", 8), "goes beyond its end");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[8,16]", 16), "a gap before it");
    CHECK_REFUSED(one("\"F32\"", "[2]", "[0,8]", 9), "1 bytes at its end belong to no tensor");
    const auto two = [](std::string_view offsets) {
        read("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" + std::string(offsets) + "}}", 16);
    };
    two("[8,16]");
    CHECK_REFUSED(two("[4,12]"), "'b' overlaps another");
    CHECK_REFUSED(two("[0,8]"), "overlaps another");
    CHECK_REFUSED(read("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4), "there twice");
    CHECK_REFUSED(read("{\"__metadata__\":{\"a\":1}}", 0), "not a text");
    const folder folder;
    const std::vector<safetensors_tensor> wrong = {{"a", tensor_type::f32, {3}, {}}};
    CHECK_REFUSED(write_safetensors(folder / "a", wrong, {}), "has not the bytes");
}

TEST(safetensors_survives_mutations) {
    const folder folder;
    const bytes file = example(folder);
    std::mt19937 random(8);
    int read = 0;
    for (int i = 0; i < 20000; i++) {
        const bytes damaged = io_check::mutated(file, random);
        const auto message = io_check::refusal([&] {
            const safetensors_reader reader(damaged, "a.safetensors");
            read++;
            for (const safetensors_tensor & tensor : reader.tensors()) {
                CHECK_EQ(static_cast<int64_t>(tensor.floats().size()), tensor.elements());
            }
        });
        CHECK(!message || message->find("a.safetensors") == 0);
    }
    CHECK(read > 100 && read < 19000);
}
