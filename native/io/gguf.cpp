#include "io/gguf.h"

#include "io/load.h"
#include "io/text.h"
#include "ops/quant.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace continual {

namespace {

constexpr uint64_t default_alignment = 32;
constexpr std::size_t longest_key = 65535;
// ggml keeps names in 64 bytes with their zero; llama.cpp refuses longer ones.
constexpr std::size_t longest_name = 63;

// Bytes of one value; 0: not of a fixed size.
uint64_t size_of(gguf_kind kind) noexcept {
    switch (kind) {
    case gguf_kind::u8:
    case gguf_kind::i8:
    case gguf_kind::boolean:
        return 1;
    case gguf_kind::u16:
    case gguf_kind::i16:
        return 2;
    case gguf_kind::u32:
    case gguf_kind::i32:
    case gguf_kind::f32:
        return 4;
    case gguf_kind::u64:
    case gguf_kind::i64:
    case gguf_kind::f64:
        return 8;
    case gguf_kind::text:
    case gguf_kind::array:
        return 0;
    }
    return 0;
}

double as_double(gguf_kind kind, const uint8_t * p) noexcept {
    switch (kind) {
    case gguf_kind::u8:
        return load<uint8_t>(p);
    case gguf_kind::i8:
        return load<int8_t>(p);
    case gguf_kind::boolean:
        return load<uint8_t>(p) != 0;
    case gguf_kind::u16:
        return load<uint16_t>(p);
    case gguf_kind::i16:
        return load<int16_t>(p);
    case gguf_kind::u32:
        return load<uint32_t>(p);
    case gguf_kind::i32:
        return load<int32_t>(p);
    case gguf_kind::f32:
        return load<float>(p);
    case gguf_kind::u64:
        return static_cast<double>(load<uint64_t>(p));
    case gguf_kind::i64:
        return static_cast<double>(load<int64_t>(p));
    case gguf_kind::f64:
        return load<double>(p);
    case gguf_kind::text:
    case gguf_kind::array:
        break;
    }
    return 0;
}

uint64_t padded(uint64_t size, uint64_t alignment) noexcept {
    return (size + alignment - 1) / alignment * alignment;
}

// Bytes of a tensor of this shape, or −1 when it has no such number.
int64_t tensor_bytes(tensor_type type, std::span<const int64_t> ne) noexcept {
    int64_t elements = 1;
    for (const int64_t n : ne) {
        if (n < 1 || n > std::numeric_limits<int64_t>::max() / 8 / elements) {
            return -1;
        }
        elements *= n;
    }
    // No type takes more than 4 bytes an element, so this can't overflow.
    return ne.empty() || ne[0] % block_elements(type) == 0 ? row_bytes(type, elements) : -1;
}

} // namespace

void gguf_reader::damaged(const std::string & what) const {
    refuse(name_, "is not a whole GGUF file: " + what + ". Download or convert it again.");
}

void gguf_reader::wrong_kind(const gguf_entry & entry, const char * wanted) const {
    refuse(name_, "the value of " + in_quotes(entry.key) + " is not " + wanted + ". Convert the model again with a newer converter.");
}

template <typename T>
T gguf_reader::take(uint64_t & at) const {
    if (bytes_.size() - at < sizeof(T)) {
        damaged("it ends inside its description");
    }
    const T value = load<T>(bytes_.data() + at);
    at += sizeof(T);
    return value;
}

std::string_view gguf_reader::take_text(uint64_t & at) const {
    const uint64_t length = take<uint64_t>(at);
    if (length > bytes_.size() - at) {
        damaged("a text of " + std::to_string(length) + " bytes goes beyond its end");
    }
    const std::string_view text(reinterpret_cast<const char *>(bytes_.data()) + at, static_cast<std::size_t>(length));
    at += length;
    return text;
}

gguf_reader::gguf_reader(std::span<const uint8_t> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {
    if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
        refuse(name_, "is not a GGUF file: it does not begin with GGUF");
    }
    uint64_t at = 4;
    version_ = take<uint32_t>(at);
    if (version_ != 2 && version_ != 3) {
        const bool swapped = (version_ & 0xffffu) == 0;
        refuse(name_, swapped ? std::string("is a GGUF file for big-endian machines. Convert the model again without --bigendian.")
                              : "is a GGUF file of version " + std::to_string(version_) + "; versions 2 and 3 are read. Convert the model again.");
    }
    const uint64_t tensors = take<uint64_t>(at);
    const uint64_t entries = take<uint64_t>(at);
    // The shortest that one can be: so a count is never believed beyond what the file can hold.
    constexpr uint64_t shortest_entry = 8 + 1 + 4 + 1;
    constexpr uint64_t shortest_tensor = 8 + 1 + 4 + 4 + 8;
    if (entries > (bytes.size() - at) / shortest_entry || tensors > (bytes.size() - at) / shortest_tensor) {
        damaged("it announces " + std::to_string(entries) + " keys and " + std::to_string(tensors) + " tensors, more than it has room for");
    }
    read_metadata(entries, at);
    read_tensors(tensors, at);
}

void gguf_reader::read_metadata(uint64_t count, uint64_t & at) {
    metadata_.reserve(static_cast<std::size_t>(count));
    for (uint64_t i = 0; i < count; i++) {
        gguf_entry entry;
        entry.key = take_text(at);
        if (entry.key.empty() || entry.key.size() > longest_key) {
            damaged("key number " + std::to_string(i) + " has " + std::to_string(entry.key.size()) + " bytes");
        }
        if (!keys_.emplace(entry.key, metadata_.size()).second) {
            damaged("the key " + in_quotes(entry.key) + " is there twice");
        }
        entry.kind = entry.element = static_cast<gguf_kind>(take<uint32_t>(at));
        if (entry.kind == gguf_kind::array) {
            entry.element = static_cast<gguf_kind>(take<uint32_t>(at));
            entry.count = take<uint64_t>(at);
        }
        const uint64_t start = at;
        if (entry.element == gguf_kind::text) {
            for (uint64_t j = 0; j < entry.count; j++) {
                take_text(at);
            }
        } else {
            const uint64_t size = size_of(entry.element);
            if (size == 0) {
                damaged("the value of " + in_quotes(entry.key) + " is of the unknown kind " + std::to_string(static_cast<uint32_t>(entry.element)));
            }
            if (entry.count > (bytes_.size() - at) / size) {
                damaged("the value of " + in_quotes(entry.key) + " goes beyond its end");
            }
            at += entry.count * size;
        }
        entry.raw = bytes_.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(at - start));
        metadata_.push_back(entry);
    }
    if (const gguf_entry * const entry = find("general.alignment")) {
        if (entry->kind != gguf_kind::u32) {
            wrong_kind(*entry, "a 32-bit number");
        }
        alignment_ = load<uint32_t>(entry->raw.data());
        // Weights are read where they lie, as floats too.
        if (alignment_ < 8 || alignment_ > 65536 || (alignment_ & (alignment_ - 1)) != 0) {
            damaged("its alignment is " + std::to_string(alignment_) + ", which is no power of two from 8 to 65536");
        }
    }
}

void gguf_reader::read_tensors(uint64_t count, uint64_t & at) {
    tensors_.reserve(static_cast<std::size_t>(count));
    uint64_t expected = 0;
    for (uint64_t i = 0; i < count; i++) {
        gguf_tensor tensor;
        tensor.name = take_text(at);
        const std::string shown = "tensor " + in_quotes(tensor.name);
        if (tensor.name.empty() || tensor.name.size() > longest_name || tensor.name.find('\0') != std::string::npos) {
            damaged(shown + ", number " + std::to_string(i) + ", has a name that is empty, longer than " + std::to_string(longest_name) + " bytes or holds a zero");
        }
        if (!names_.emplace(tensor.name, tensors_.size()).second) {
            damaged(shown + " is there twice");
        }
        const uint32_t dimensions = take<uint32_t>(at);
        if (dimensions > 4) {
            damaged(shown + " has " + std::to_string(dimensions) + " dimensions");
        }
        tensor.dimensions = static_cast<int32_t>(dimensions);
        for (uint32_t j = 0; j < dimensions; j++) {
            tensor.ne[j] = take<int64_t>(at);
        }
        const int32_t type = take<int32_t>(at);
        tensor.offset = take<uint64_t>(at);
        tensor.type = static_cast<tensor_type>(type);
        if (!is_supported(type)) {
            throw error(failure::unsupported, name_ + ": " + shown + " is of type " + continual::name(tensor.type) + " (number " + std::to_string(type) +
                                                  "). F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS are read: quantize the model to one of these.");
        }
        tensor.bytes = tensor_bytes(tensor.type, tensor.ne);
        if (tensor.bytes < 0) {
            damaged(shown + " has a shape that is impossible for " + continual::name(tensor.type));
        }
        // As llama.cpp wants it: one after the other, in the table's order. So none overlaps another.
        if (tensor.offset != expected) {
            damaged(shown + " lies at " + std::to_string(tensor.offset) + ", where " + std::to_string(expected) + " is expected");
        }
        // Can't overflow: bytes is below 2^63, and once expected is beyond the file, the check below ends this.
        expected = padded(tensor.offset + static_cast<uint64_t>(tensor.bytes), alignment_);
        if (tensor.offset > bytes_.size() || static_cast<uint64_t>(tensor.bytes) > bytes_.size() - tensor.offset) {
            damaged(shown + " goes beyond its end");
        }
        tensors_.push_back(std::move(tensor));
    }
    const uint64_t start = padded(at, alignment_);
    for (gguf_tensor & tensor : tensors_) {
        if (start > bytes_.size() || tensor.offset + static_cast<uint64_t>(tensor.bytes) > bytes_.size() - start) {
            damaged("tensor " + in_quotes(tensor.name) + " goes beyond its end, by " +
                    std::to_string(start + tensor.offset + static_cast<uint64_t>(tensor.bytes) - bytes_.size()) + " bytes");
        }
        tensor.data = bytes_.data() + start + tensor.offset;
    }
}

const gguf_entry * gguf_reader::find(std::string_view key) const noexcept {
    const auto found = keys_.find(key);
    return found == keys_.end() ? nullptr : &metadata_[found->second];
}

const gguf_tensor * gguf_reader::find_tensor(std::string_view name) const {
    const auto found = names_.find(std::string(name));
    return found == names_.end() ? nullptr : &tensors_[found->second];
}

std::optional<std::string_view> gguf_reader::text(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    if (entry->kind != gguf_kind::text) {
        wrong_kind(*entry, "a text");
    }
    return std::string_view(reinterpret_cast<const char *>(entry->raw.data()) + 8, entry->raw.size() - 8);
}

std::optional<double> gguf_reader::number(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    if (size_of(entry->kind) == 0) {
        wrong_kind(*entry, "a number");
    }
    return as_double(entry->kind, entry->raw.data());
}

std::optional<int64_t> gguf_reader::integer(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    const uint8_t * const p = entry->raw.data();
    switch (entry->kind) {
    case gguf_kind::u64: {
        const uint64_t value = load<uint64_t>(p);
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
            wrong_kind(*entry, "a number below 2^63");
        }
        return static_cast<int64_t>(value);
    }
    case gguf_kind::i64:
        return load<int64_t>(p);
    case gguf_kind::u8:
    case gguf_kind::i8:
    case gguf_kind::u16:
    case gguf_kind::i16:
    case gguf_kind::u32:
    case gguf_kind::i32:
        return static_cast<int64_t>(as_double(entry->kind, p));
    default:
        wrong_kind(*entry, "a whole number");
    }
}

std::optional<bool> gguf_reader::boolean(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    if (entry->kind != gguf_kind::boolean) {
        wrong_kind(*entry, "true or false");
    }
    return entry->raw[0] != 0;
}

std::optional<std::vector<std::string_view>> gguf_reader::texts(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    if (entry->kind != gguf_kind::array || entry->element != gguf_kind::text) {
        wrong_kind(*entry, "a list of texts");
    }
    std::vector<std::string_view> result;
    result.reserve(static_cast<std::size_t>(entry->count));
    uint64_t at = static_cast<uint64_t>(entry->raw.data() - bytes_.data());
    for (uint64_t i = 0; i < entry->count; i++) {
        result.push_back(take_text(at));
    }
    return result;
}

std::optional<std::vector<double>> gguf_reader::numbers(std::string_view key) const {
    const gguf_entry * const entry = find(key);
    if (entry == nullptr) {
        return {};
    }
    const uint64_t size = size_of(entry->element);
    if (entry->kind != gguf_kind::array || size == 0) {
        wrong_kind(*entry, "a list of numbers");
    }
    std::vector<double> result;
    result.reserve(static_cast<std::size_t>(entry->count));
    for (uint64_t i = 0; i < entry->count; i++) {
        result.push_back(as_double(entry->element, entry->raw.data() + i * size));
    }
    return result;
}

template <typename T>
void gguf_writer::put(T value) {
    metadata_.append(reinterpret_cast<const char *>(&value), sizeof value);
}

void gguf_writer::put_text(std::string_view text) {
    put(static_cast<uint64_t>(text.size()));
    metadata_.append(text);
}

void gguf_writer::begin(std::string_view key, gguf_kind kind) {
    if (key.empty() || key.size() > longest_key || std::find(keys_.begin(), keys_.end(), key) != keys_.end()) {
        throw error(failure::argument, "metadata key " + in_quotes(key) + " is empty, too long or already set");
    }
    keys_.emplace_back(key);
    entries_++;
    put_text(key);
    put(kind);
}

void gguf_writer::set(std::string_view key, std::string_view text) {
    begin(key, gguf_kind::text);
    put_text(text);
}

template <typename T>
void gguf_writer::set_number(std::string_view key, gguf_kind kind, T value) {
    begin(key, kind);
    put(value);
}

void gguf_writer::set(std::string_view key, uint32_t value) {
    set_number(key, gguf_kind::u32, value);
}

void gguf_writer::set(std::string_view key, int32_t value) {
    set_number(key, gguf_kind::i32, value);
}

void gguf_writer::set(std::string_view key, uint64_t value) {
    set_number(key, gguf_kind::u64, value);
}

void gguf_writer::set(std::string_view key, float value) {
    set_number(key, gguf_kind::f32, value);
}

void gguf_writer::set(std::string_view key, bool value) {
    set_number(key, gguf_kind::boolean, static_cast<uint8_t>(value ? 1 : 0));
}

void gguf_writer::set(std::string_view key, std::span<const std::string> texts) {
    begin(key, gguf_kind::array);
    put(gguf_kind::text);
    put(static_cast<uint64_t>(texts.size()));
    for (const std::string & text : texts) {
        put_text(text);
    }
}

template <typename T>
void gguf_writer::set_array(std::string_view key, gguf_kind element, std::span<const T> values) {
    begin(key, gguf_kind::array);
    put(element);
    put(static_cast<uint64_t>(values.size()));
    metadata_.append(reinterpret_cast<const char *>(values.data()), values.size_bytes());
}

void gguf_writer::set(std::string_view key, std::span<const float> values) {
    set_array(key, gguf_kind::f32, values);
}

void gguf_writer::set(std::string_view key, std::span<const int32_t> values) {
    set_array(key, gguf_kind::i32, values);
}

void gguf_writer::copy(const gguf_entry & entry) {
    begin(entry.key, entry.kind);
    if (entry.kind == gguf_kind::array) {
        put(entry.element);
        put(entry.count);
    }
    metadata_.append(reinterpret_cast<const char *>(entry.raw.data()), entry.raw.size());
}

void gguf_writer::add(std::string_view name, tensor_type type, std::initializer_list<int64_t> ne, const void * data) {
    add(name, type, std::span<const int64_t>(ne.begin(), ne.size()), data);
}

void gguf_writer::add(std::string_view name, tensor_type type, std::span<const int64_t> ne, const void * data) {
    const int64_t bytes = is_supported(static_cast<int32_t>(type)) && ne.size() <= 4 ? tensor_bytes(type, ne) : -1;
    if (bytes < 0) {
        throw error(failure::argument, "tensor " + in_quotes(name) + " has a shape that is impossible for " + continual::name(type));
    }
    if (name.empty() || name.size() > longest_name || !names_.emplace(name, tensors_.size()).second) {
        throw error(failure::argument, "tensor name " + in_quotes(name) + " is empty, longer than " + std::to_string(longest_name) + " bytes or already there");
    }
    tensors_.push_back({std::string(name), type, {ne.begin(), ne.end()}, data, bytes});
}

void gguf_writer::write(const std::string & path, const std::function<void(std::size_t tensor, atomic_file & file)> & fill) const {
    atomic_file file(path);
    const auto put_number = [&](auto value) { file.write(&value, sizeof value); };
    const auto put_padding = [&] { file.pad(static_cast<int64_t>(padded(static_cast<uint64_t>(file.size()), default_alignment)) - file.size()); };
    file.write("GGUF", 4);
    put_number(uint32_t{3});
    put_number(static_cast<uint64_t>(tensors_.size()));
    put_number(entries_);
    file.write(metadata_.data(), static_cast<int64_t>(metadata_.size()));
    uint64_t offset = 0;
    for (const planned & tensor : tensors_) {
        put_number(static_cast<uint64_t>(tensor.name.size()));
        file.write(tensor.name.data(), static_cast<int64_t>(tensor.name.size()));
        put_number(static_cast<uint32_t>(tensor.ne.size()));
        for (const int64_t n : tensor.ne) {
            put_number(n);
        }
        put_number(static_cast<int32_t>(tensor.type));
        put_number(offset);
        offset = padded(offset + static_cast<uint64_t>(tensor.bytes), default_alignment);
    }
    put_padding();
    for (std::size_t i = 0; i < tensors_.size(); i++) {
        const int64_t end = file.size() + tensors_[i].bytes;
        if (tensors_[i].data != nullptr) {
            file.write(tensors_[i].data, tensors_[i].bytes);
        } else if (fill) {
            fill(i, file);
        }
        if (file.size() != end) {
            throw error(failure::argument, "tensor " + in_quotes(tensors_[i].name) + " was given " + std::to_string(file.size() - end + tensors_[i].bytes) + " of its " +
                                               std::to_string(tensors_[i].bytes) + " bytes");
        }
        put_padding();
    }
    file.commit();
}

} // namespace continual
