// safetensors, the file format of Hugging Face: 8 bytes of length, a JSON header, the data.
#pragma once

#include "runtime/types.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace continual {

struct safetensors_tensor {
    std::string name;
    tensor_type type = tensor_type::f32; // F32, F16 or BF16
    std::vector<int64_t> shape;          // slowest first
    std::span<const uint8_t> bytes;

    int64_t elements() const noexcept;
    // All elements as floats.
    std::vector<float> floats() const;
};

// Reads from bytes that must outlive it. Throws error: failure::file for what is damaged, failure::unsupported for another type of number.
class safetensors_reader {
public:
    // name: the file's, for messages.
    safetensors_reader(std::span<const uint8_t> bytes, std::string_view name);

    const std::vector<safetensors_tensor> & tensors() const noexcept { return tensors_; }
    const std::vector<std::pair<std::string, std::string>> & metadata() const noexcept { return metadata_; }
    // Null where there is none.
    const safetensors_tensor * find(std::string_view name) const noexcept;

private:
    std::vector<safetensors_tensor> tensors_;
    std::vector<std::pair<std::string, std::string>> metadata_;
};

// Replaces path as a whole.
void write_safetensors(const std::string & path, std::span<const safetensors_tensor> tensors, std::span<const std::pair<std::string, std::string>> metadata);

} // namespace continual
