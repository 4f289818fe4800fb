// GGUF, the file format of llama.cpp: metadata and tensors (ggml/include/gguf.h there describes it). Versions 2 and 3, little-endian.
#pragma once

#include "io/file.h"
#include "runtime/types.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace continual {

// Kinds of metadata values; the numbers are the format's.
enum class gguf_kind : uint32_t {
    u8 = 0,
    i8 = 1,
    u16 = 2,
    i16 = 3,
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    text = 8,
    array = 9,
    u64 = 10,
    i64 = 11,
    f64 = 12,
};

// One key and its value, in the file's memory.
struct gguf_entry {
    std::string_view key;
    gguf_kind kind = gguf_kind::u8;
    gguf_kind element = gguf_kind::u8; // of an array; otherwise the same as kind
    uint64_t count = 1;                // elements of an array; otherwise 1
    std::span<const uint8_t> raw;      // the value as the file has it; of an array its elements only
};

struct gguf_tensor {
    std::string name;
    tensor_type type = tensor_type::f32;
    int32_t dimensions = 1;
    int64_t ne[4] = {1, 1, 1, 1}; // elements of a row first
    uint64_t offset = 0;          // from the start of the data
    const void * data = nullptr;
    int64_t bytes = 0;

    int64_t elements() const noexcept { return ne[0] * ne[1] * ne[2] * ne[3]; }
};

// Reads from bytes that must outlive it. Everything is checked before anything is believed: error (failure::file) for what is damaged, failure::unsupported
// for a tensor of a type that the trainer does not read.
class gguf_reader {
public:
    // name: the file's, for messages.
    gguf_reader(std::span<const uint8_t> bytes, std::string name);

    uint32_t version() const noexcept { return version_; }
    const std::vector<gguf_entry> & metadata() const noexcept { return metadata_; }
    const std::vector<gguf_tensor> & tensors() const noexcept { return tensors_; }

    // Null where there is none.
    const gguf_entry * find(std::string_view key) const noexcept;
    const gguf_tensor * find_tensor(std::string_view name) const;

    // Nothing where the key is absent; error where its value is of another kind.
    std::optional<std::string_view> text(std::string_view key) const;
    std::optional<double> number(std::string_view key) const; // any number, or boolean as 0 and 1
    std::optional<int64_t> integer(std::string_view key) const;
    std::optional<bool> boolean(std::string_view key) const;
    std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
    std::optional<std::vector<double>> numbers(std::string_view key) const;

private:
    void read_metadata(uint64_t count, uint64_t & at);
    void read_tensors(uint64_t count, uint64_t & at);
    [[noreturn]] void damaged(const std::string & what) const;
    [[noreturn]] void wrong_kind(const gguf_entry & entry, const char * wanted) const;

    template <typename T>
    T take(uint64_t & at) const;
    std::string_view take_text(uint64_t & at) const;

    std::span<const uint8_t> bytes_;
    std::string name_;
    uint32_t version_ = 0;
    uint64_t alignment_ = 32;
    std::vector<gguf_entry> metadata_;
    std::vector<gguf_tensor> tensors_;
    std::unordered_map<std::string_view, std::size_t> keys_;
    std::unordered_map<std::string, std::size_t> names_;
};

// Collects a description, then writes version 3 with the default alignment.
class gguf_writer {
public:
    // Throws error (failure::argument) for a key or tensor name that is empty, too long or already there.
    void set(std::string_view key, std::string_view text);
    void set(std::string_view key, uint32_t value);
    void set(std::string_view key, int32_t value);
    void set(std::string_view key, uint64_t value);
    void set(std::string_view key, float value);
    void set(std::string_view key, bool value);
    // Otherwise text would prefer bool.
    void set(std::string_view key, const char * text) { set(key, std::string_view(text)); }
    void set(std::string_view key, std::span<const std::string> texts);
    void set(std::string_view key, std::span<const float> values);
    void set(std::string_view key, std::span<const int32_t> values);
    // As another file has it.
    void copy(const gguf_entry & entry);

    // data: read by write(), or null when its `fill` writes the tensor.
    void add(std::string_view name, tensor_type type, std::initializer_list<int64_t> ne, const void * data);
    void add(std::string_view name, tensor_type type, std::span<const int64_t> ne, const void * data);

    // Replaces path as a whole. fill(tensor's number, file) writes exactly the bytes of a tensor that was added without data.
    void write(const std::string & path, const std::function<void(std::size_t tensor, atomic_file & file)> & fill = {}) const;

private:
    void begin(std::string_view key, gguf_kind kind);
    template <typename T>
    void put(T value);
    void put_text(std::string_view text);
    template <typename T>
    void set_number(std::string_view key, gguf_kind kind, T value);
    template <typename T>
    void set_array(std::string_view key, gguf_kind element, std::span<const T> values);

    struct planned {
        std::string name;
        tensor_type type;
        std::vector<int64_t> ne;
        const void * data;
        int64_t bytes;
    };
    std::string metadata_;
    uint64_t entries_ = 0;
    std::vector<std::string> keys_;
    std::vector<planned> tensors_;
    std::unordered_map<std::string, std::size_t> names_;
};

} // namespace continual
