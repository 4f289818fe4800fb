#include "io/gguf.h"

#include "ggml_library.h"
#include "io_check.h"
#include "ops/quant.h"

#include <limits>

using continual::gguf_reader;
using continual::gguf_writer;
using continual::tensor_type;
using io_check::bytes;
using io_check::folder;

namespace {

// A file by hand, so that the reader is held against the format and not against our writer.
class by_hand {
public:
    template <typename T>
    by_hand & number(T value) {
        const std::size_t at = data.size();
        data.resize(at + sizeof value);
        std::memcpy(data.data() + at, &value, sizeof value);
        return *this;
    }
    by_hand & text(std::string_view value) {
        number(static_cast<uint64_t>(value.size()));
        data.insert(data.end(), value.begin(), value.end());
        return *this;
    }
    by_hand & head(uint32_t version, uint64_t tensors, uint64_t entries) {
        data = io_check::of("GGUF");
        return number(version).number(tensors).number(entries);
    }
    by_hand & tensor(std::string_view name, std::initializer_list<int64_t> ne, int32_t type, uint64_t offset) {
        text(name).number(static_cast<uint32_t>(ne.size()));
        for (const int64_t n : ne) {
            number(n);
        }
        return number(type).number(offset);
    }
    by_hand & pad(std::size_t alignment) {
        data.resize((data.size() + alignment - 1) / alignment * alignment);
        return *this;
    }
    by_hand & fill(std::size_t size) {
        data.resize(data.size() + size, 0x11);
        return *this;
    }
    bytes data;
};

by_hand head(uint64_t tensors, uint64_t entries) {
    by_hand file;
    file.head(3, tensors, entries);
    return file;
}

void read(const by_hand & file) {
    const gguf_reader reader(file.data, "m.gguf");
}

bytes example(const folder & folder) {
    gguf_writer writer;
    writer.set("general.architecture", "llama");
    writer.set("a.u32", uint32_t{4000000000});
    writer.set("a.i32", int32_t{-5});
    writer.set("a.u64", uint64_t{1} << 40);
    writer.set("a.f32", 0.25f);
    writer.set("a.bool", true);
    const std::vector<std::string> texts = {"one", "", "three\xff"};
    const std::vector<float> floats = {1.5f, -2.0f};
    const std::vector<int32_t> integers = {-1, 0, 7};
    writer.set("a.texts", std::span<const std::string>(texts));
    writer.set("a.floats", std::span<const float>(floats));
    writer.set("a.integers", std::span<const int32_t>(integers));
    const std::vector<float> values = {1, 2, 3, 4, 5, 6};
    writer.add("first.weight", tensor_type::f32, {3, 2}, values.data());
    writer.add("second.weight", tensor_type::q4_k, {256, 2}, nullptr);
    writer.add("third", tensor_type::bf16, {5}, nullptr);
    writer.write(folder / "m.gguf", [](std::size_t tensor, continual::atomic_file & file) {
        const bytes data(tensor == 1 ? 288 : 10, static_cast<uint8_t>(tensor));
        file.write(data.data(), 288 * (tensor == 1) + 4 * (tensor == 2));
        file.write(data.data(), 6 * (tensor == 2));
    });
    return io_check::read(folder / "m.gguf");
}

} // namespace

TEST(gguf_comes_back_as_it_was_written) {
    const folder folder;
    const bytes file = example(folder);
    const gguf_reader reader(file, "m.gguf");
    CHECK_EQ(reader.version(), 3u);
    CHECK_EQ(*reader.text("general.architecture"), "llama");
    CHECK_EQ(*reader.integer("a.u32"), 4000000000);
    CHECK_EQ(*reader.integer("a.i32"), -5);
    CHECK_EQ(*reader.integer("a.u64"), int64_t{1} << 40);
    CHECK_EQ(*reader.number("a.f32"), 0.25);
    CHECK_EQ(*reader.number("a.i32"), -5.0);
    CHECK(*reader.boolean("a.bool"));
    CHECK(!reader.text("a.none") && !reader.number("a.none") && !reader.texts("a.none"));
    CHECK((*reader.texts("a.texts") == std::vector<std::string_view>{"one", "", "three\xff"}));
    CHECK((*reader.numbers("a.floats") == std::vector<double>{1.5, -2.0}));
    CHECK((*reader.numbers("a.integers") == std::vector<double>{-1, 0, 7}));
    CHECK_REFUSED(reader.text("a.u32"), "the value of 'a.u32' is not a text");
    CHECK_REFUSED(reader.integer("a.f32"), "not a whole number");
    CHECK_REFUSED(reader.number("a.texts"), "not a number");
    CHECK_REFUSED(reader.numbers("a.texts"), "not a list of numbers");
    CHECK_REFUSED(reader.texts("a.floats"), "not a list of texts");
    CHECK_REFUSED(reader.boolean("a.u32"), "not true or false");

    CHECK_EQ(reader.tensors().size(), 3u);
    const continual::gguf_tensor & first = *reader.find_tensor("first.weight");
    CHECK(first.type == tensor_type::f32 && first.dimensions == 2 && first.ne[0] == 3 && first.ne[1] == 2 && first.ne[2] == 1 && first.bytes == 24);
    CHECK_EQ(static_cast<const float *>(first.data)[5], 6.0f);
    const continual::gguf_tensor & second = *reader.find_tensor("second.weight");
    CHECK(second.bytes == 288 && second.elements() == 512 && static_cast<const uint8_t *>(second.data)[287] == 1);
    CHECK_EQ(static_cast<const uint8_t *>(reader.find_tensor("third")->data)[9], 2);
    CHECK(reader.find_tensor("fourth") == nullptr);
    for (const continual::gguf_tensor & tensor : reader.tensors()) {
        CHECK_EQ((static_cast<const uint8_t *>(tensor.data) - file.data()) % 32, 0);
    }

    // All of it copied into another file: the same bytes.
    gguf_writer writer;
    for (const continual::gguf_entry & entry : reader.metadata()) {
        writer.copy(entry);
    }
    for (const continual::gguf_tensor & tensor : reader.tensors()) {
        writer.add(tensor.name, tensor.type, std::span<const int64_t>(tensor.ne, static_cast<std::size_t>(tensor.dimensions)), tensor.data);
    }
    writer.write(folder / "copy.gguf");
    CHECK(io_check::read(folder / "copy.gguf") == file);
}

TEST(gguf_writer_refuses_what_no_reader_takes) {
    const folder folder;
    gguf_writer writer;
    writer.set("a", 1.0f);
    CHECK_REFUSED(writer.set("a", 2.0f), "already set");
    CHECK_REFUSED(writer.set("", 2.0f), "empty");
    writer.add("t", tensor_type::f32, {4}, nullptr);
    CHECK_REFUSED(writer.add("t", tensor_type::f32, {4}, nullptr), "already there");
    CHECK_REFUSED(writer.add(std::string(64, 'x'), tensor_type::f32, {4}, nullptr), "longer than 63");
    CHECK_REFUSED(writer.add("u", tensor_type::q4_k, {128}, nullptr), "impossible for Q4_K");
    CHECK_REFUSED(writer.add("u", tensor_type::f32, {0}, nullptr), "impossible");
    CHECK_REFUSED(writer.write(folder / "m.gguf", [](std::size_t, continual::atomic_file & file) { file.write("abc", 3); }), "was given 3 of its 16 bytes");
    CHECK_EQ(folder.files(), 0u);
}

TEST(gguf_of_version_2_and_with_another_alignment_is_read) {
    by_hand file;
    file.head(2, 2, 1).text("general.alignment").number(uint32_t{4}).number(uint32_t{64});
    file.tensor("a", {3}, 0, 0).tensor("b", {32}, 8, 64).pad(64).fill(64 + 34);
    const gguf_reader reader(file.data, "m.gguf");
    CHECK_EQ(reader.version(), 2u);
    CHECK_EQ((static_cast<const uint8_t *>(reader.tensors()[1].data) - file.data.data()) % 64, 0);
    CHECK_EQ(reader.tensors()[1].bytes, 34);
}

TEST(hostile_gguf_is_refused_with_the_reason) {
    CHECK_REFUSED(read(by_hand()), "does not begin with GGUF");
    by_hand text;
    text.data = io_check::of("#!/bin/sh\necho hello, this is not a model");
    CHECK_REFUSED(read(text), "does not begin with GGUF");
    by_hand old;
    old.head(1, 0, 0);
    CHECK_REFUSED(read(old), "version 1");
    old.head(0x03000000, 0, 0);
    CHECK_REFUSED(read(old), "big-endian");
    CHECK_REFUSED(read(head(0, uint64_t{1} << 60)), "more than it has room for");
    CHECK_REFUSED(read(head(~uint64_t{0}, 0)), "more than it has room for");
    CHECK_REFUSED(read(head(0, 1).fill(1000)), "goes beyond its end");
    CHECK_REFUSED(read(head(0, 1).text("").number(uint32_t{4}).fill(9)), "key number 0 has 0 bytes");
    CHECK_REFUSED(read(head(0, 1).text("key").number(uint32_t{13}).fill(9)), "unknown kind 13");
    CHECK_REFUSED(read(head(0, 1).text("key").number(uint32_t{9}).number(uint32_t{9}).number(uint64_t{1}).fill(9)), "unknown kind 9");
    CHECK_REFUSED(read(head(0, 1).text("key").number(uint32_t{9}).number(uint32_t{6}).number(uint64_t{1} << 62).fill(9)), "'key' goes beyond its end");
    CHECK_REFUSED(read(head(0, 1).text("key").number(uint32_t{9}).number(uint32_t{8}).number(uint64_t{1} << 62).fill(4)), "ends inside its description");
    CHECK_REFUSED(read(head(0, 1).text("key").number(uint32_t{8}).number(~uint64_t{0})), "a text of");
    CHECK_REFUSED(read(head(0, 2).text("key").number(uint32_t{4}).number(1).text("key").number(uint32_t{4}).number(1)), "'key' is there twice");
    for (const uint32_t alignment : {0u, 1u, 4u, 48u, 0x80000000u}) {
        CHECK_REFUSED(read(head(0, 1).text("general.alignment").number(uint32_t{4}).number(alignment)), "its alignment is");
    }
    CHECK_REFUSED(read(head(0, 1).text("general.alignment").number(uint32_t{10}).number(uint64_t{32})), "not a 32-bit number");

    const auto one = [](std::string_view name, std::initializer_list<int64_t> ne, int32_t type, uint64_t offset) { return head(1, 0).tensor(name, ne, type, offset).pad(32).fill(4096); };
    read(one("a", {8, 4}, 0, 0));
    CHECK_REFUSED(read(one("", {8}, 0, 0)), "a name that is empty");
    CHECK_REFUSED(read(one(std::string(64, 'a'), {8}, 0, 0)), "longer than 63 bytes");
    CHECK_REFUSED(read(one(std::string_view("a\0b", 3), {8}, 0, 0)), "holds a zero");
    CHECK_REFUSED(read(one("a\x1b[2J", {0}, 0, 0)), "'a?[2J' has a shape");
    CHECK_REFUSED(read(one("a", {8, 1, 1, 1, 1}, 0, 0)), "5 dimensions");
    CHECK_REFUSED(read(one("a", {8, 0}, 0, 0)), "impossible");
    CHECK_REFUSED(read(one("a", {-8}, 0, 0)), "impossible");
    CHECK_REFUSED(read(one("a", {int64_t{1} << 32, int64_t{1} << 32}, 0, 0)), "impossible");
    CHECK_REFUSED(read(one("a", {std::numeric_limits<int64_t>::max(), 2, 2, 2}, 0, 0)), "impossible");
    CHECK_REFUSED(read(one("a", {128}, 12, 0)), "impossible for Q4_K");
    CHECK_REFUSED(read(one("a", {8}, 0, 32)), "lies at 32, where 0 is expected");
    CHECK_REFUSED(read(one("a", {2048}, 0, 0)), "goes beyond its end");
    CHECK_REFUSED(read(one("a", {int64_t{1} << 59}, 0, 0)), "goes beyond its end");
    CHECK_REFUSED(read(one("blk.0.ffn_up.weight", {256}, 16, 0)), "tensor 'blk.0.ffn_up.weight' is of type IQ2_XXS (number 16). F32");
    CHECK_REFUSED(read(one("a", {256}, -1, 0)), "number -1");
    CHECK_REFUSED(read(head(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).pad(32).fill(4096)), "'a' is there twice");
    CHECK_REFUSED(read(head(2, 0).tensor("a", {8}, 0, 0).tensor("b", {8}, 0, 0).pad(32).fill(4096)), "where 32 is expected");
}

TEST(gguf_cut_anywhere_is_refused) {
    const folder folder;
    const bytes file = example(folder);
    // 22 zeros of padding after the last tensor may be missing.
    for (std::size_t size = 0; size < file.size() - 22; size++) {
        const bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(io_check::refusal([&] { const gguf_reader reader(cut, "m.gguf"); }).has_value());
    }
}

TEST(gguf_survives_mutations) {
    const folder folder;
    const bytes file = example(folder);
    std::mt19937 random(7);
    int read = 0;
    uint64_t touched = 0;
    for (int i = 0; i < 20000; i++) {
        const bytes damaged = io_check::mutated(file, random);
        const auto message = io_check::refusal([&] {
            const gguf_reader reader(damaged, "m.gguf");
            read++;
            // Whatever it says is there can be touched.
            uint64_t sum = 0;
            for (const continual::gguf_tensor & tensor : reader.tensors()) {
                for (int64_t j = 0; j < tensor.bytes; j++) {
                    sum += static_cast<const uint8_t *>(tensor.data)[j];
                }
                CHECK_EQ(continual::row_bytes(tensor.type, tensor.elements()), tensor.bytes);
            }
            for (const continual::gguf_entry & entry : reader.metadata()) {
                for (const uint8_t byte : entry.raw) {
                    sum += byte;
                }
                if (entry.kind == continual::gguf_kind::array && entry.element == continual::gguf_kind::text) {
                    CHECK_EQ(reader.texts(entry.key)->size(), entry.count);
                } else if (entry.kind == continual::gguf_kind::array) {
                    CHECK_EQ(reader.numbers(entry.key)->size(), entry.count);
                } else if (entry.kind == continual::gguf_kind::text) {
                    sum += reader.text(entry.key)->size();
                } else {
                    sum += reader.number(entry.key).has_value();
                }
            }
            touched += sum;
        });
        CHECK(!message || message->find("m.gguf: ") == 0);
    }
    CHECK(read > 1000 && read < 19000 && touched > 0);
}

#if !defined(_WIN32)

TEST(gguf_is_read_by_ggml_with_the_same_places) {
    void * const library = packaged_ggml();
    struct parameters {
        bool no_alloc;
        void ** context;
    };
    const auto open = reinterpret_cast<void * (*)(const char *, parameters)>(dlsym(library, "gguf_init_from_file"));
    const auto close = reinterpret_cast<void (*)(void *)>(dlsym(library, "gguf_free"));
    const auto entries = reinterpret_cast<int64_t (*)(const void *)>(dlsym(library, "gguf_get_n_kv"));
    const auto find_key = reinterpret_cast<int64_t (*)(const void *, const char *)>(dlsym(library, "gguf_find_key"));
    const auto text = reinterpret_cast<const char * (*)(const void *, int64_t)>(dlsym(library, "gguf_get_val_str"));
    const auto find_tensor = reinterpret_cast<int64_t (*)(const void *, const char *)>(dlsym(library, "gguf_find_tensor"));
    const auto data_offset = reinterpret_cast<size_t (*)(const void *)>(dlsym(library, "gguf_get_data_offset"));
    const auto tensor_offset = reinterpret_cast<size_t (*)(const void *, int64_t)>(dlsym(library, "gguf_get_tensor_offset"));
    const auto tensor_size = reinterpret_cast<size_t (*)(const void *, int64_t)>(dlsym(library, "gguf_get_tensor_size"));

    const folder folder;
    const bytes file = example(folder);
    const gguf_reader reader(file, "m.gguf");
    void * const theirs = open((folder / "m.gguf").c_str(), {true, nullptr});
    CHECK(theirs != nullptr);
    if (theirs == nullptr) {
        return;
    }
    CHECK_EQ(entries(theirs), static_cast<int64_t>(reader.metadata().size()));
    CHECK_EQ(std::string(text(theirs, find_key(theirs, "general.architecture"))), "llama");
    for (const continual::gguf_tensor & tensor : reader.tensors()) {
        const int64_t number = find_tensor(theirs, tensor.name.c_str());
        CHECK_EQ(static_cast<int64_t>(tensor_size(theirs, number)), tensor.bytes);
        CHECK_EQ(data_offset(theirs) + tensor_offset(theirs, number), static_cast<size_t>(static_cast<const uint8_t *>(tensor.data) - file.data()));
    }
    close(theirs);
}

#endif
