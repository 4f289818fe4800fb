#include "io/safetensors.h"

#include "io/file.h"
#include "io/json.h"
#include "io/text.h"
#include "ops/quant.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace continual {

namespace {

// A tensor's line in the header takes about 150 bytes.
constexpr uint64_t longest_header = 16 << 20;
constexpr std::string_view metadata_key = "__metadata__";

struct dtype {
    std::string_view name;
    tensor_type type;
};
constexpr dtype dtypes[] = {{"F32", tensor_type::f32}, {"F16", tensor_type::f16}, {"BF16", tensor_type::bf16}};

} // namespace

int64_t safetensors_tensor::elements() const noexcept {
    return static_cast<int64_t>(bytes.size()) / block_bytes(type);
}

std::vector<float> safetensors_tensor::floats() const {
    std::vector<float> result(static_cast<std::size_t>(elements()));
    // The header's length decides how the data is aligned, and only the portable version promises to take any address.
    dequantize(isa::portable, type, bytes.data(), result.data(), elements());
    return result;
}

safetensors_reader::safetensors_reader(std::span<const uint8_t> bytes, std::string_view name) {
    const auto damaged = [&](const std::string & what) { refuse(name, "is not a whole safetensors file: " + what + ". Download or export it again."); };
    uint64_t length = 0;
    if (bytes.size() < sizeof length) {
        damaged("it has " + std::to_string(bytes.size()) + " bytes");
    }
    std::memcpy(&length, bytes.data(), sizeof length);
    if (length > bytes.size() - sizeof length || length > longest_header) {
        damaged("its header should have " + std::to_string(length) + " bytes");
    }
    const std::string_view text(reinterpret_cast<const char *>(bytes.data()) + sizeof length, static_cast<std::size_t>(length));
    if (text.empty() || text[0] != '{') {
        damaged("its header does not begin with '{'");
    }
    const json header = json::parse(text, std::string(name) + ", its header,");
    const std::span<const uint8_t> data = bytes.subspan(sizeof length + static_cast<std::size_t>(length));

    struct range {
        uint64_t begin;
        uint64_t end;
        std::size_t tensor;
    };
    std::vector<range> ranges;
    for (const json_member & member : header.members()) {
        if (member.key == metadata_key) {
            if (member.value.type() != json::kind::object) {
                damaged("__metadata__ is not an object");
            }
            for (const json_member & entry : member.value.members()) {
                if (entry.value.type() != json::kind::text) {
                    damaged("__metadata__ holds something that is not a text");
                }
                metadata_.emplace_back(entry.key, entry.value.text());
            }
            continue;
        }
        const std::string shown = "tensor " + in_quotes(member.key);
        const json * const type = member.value.find("dtype");
        const json * const shape = member.value.find("shape");
        const json * const offsets = member.value.find("data_offsets");
        if (type == nullptr || type->type() != json::kind::text || shape == nullptr || shape->type() != json::kind::array || offsets == nullptr ||
            offsets->items().size() != 2) {
            damaged(shown + " lacks a dtype, a shape or two data_offsets");
        }
        const dtype * const found = std::find_if(std::begin(dtypes), std::end(dtypes), [&](const dtype & one) { return one.name == type->text(); });
        if (found == std::end(dtypes)) {
            throw error(failure::unsupported, std::string(name) + ": " + shown + " holds numbers of type " + in_quotes(type->text()) + "; F32, F16 and BF16 are read. Save it again in one of these.");
        }
        safetensors_tensor tensor;
        tensor.name = member.key;
        tensor.type = found->type;
        int64_t size = block_bytes(tensor.type);
        for (const json & extent : shape->items()) {
            const int64_t n = extent.integer();
            if (extent.type() != json::kind::integer || n < 1 || n > std::numeric_limits<int64_t>::max() / size) {
                damaged(shown + " has an impossible shape");
            }
            size *= n;
            tensor.shape.push_back(n);
        }
        const json & begin = offsets->items()[0];
        const json & end = offsets->items()[1];
        if (begin.type() != json::kind::integer || end.type() != json::kind::integer || begin.integer() < 0 || end.integer() < begin.integer() ||
            static_cast<uint64_t>(end.integer()) > data.size()) {
            damaged(shown + " goes beyond its end");
        }
        if (end.integer() - begin.integer() != size) {
            damaged(shown + " has " + std::to_string(end.integer() - begin.integer()) + " bytes, where its shape wants " + std::to_string(size));
        }
        tensor.bytes = data.subspan(static_cast<std::size_t>(begin.integer()), static_cast<std::size_t>(size));
        ranges.push_back({static_cast<uint64_t>(begin.integer()), static_cast<uint64_t>(end.integer()), tensors_.size()});
        tensors_.push_back(std::move(tensor));
    }
    // Every byte belongs to one tensor, as the format's own reader demands.
    std::sort(ranges.begin(), ranges.end(), [](const range & a, const range & b) { return a.begin < b.begin; });
    uint64_t covered = 0;
    for (const range & one : ranges) {
        if (one.begin != covered) {
            damaged("tensor " + in_quotes(tensors_[one.tensor].name) + (one.begin < covered ? " overlaps another" : " has a gap before it"));
        }
        covered = one.end;
    }
    if (covered != data.size()) {
        damaged(std::to_string(data.size() - covered) + " bytes at its end belong to no tensor");
    }
}

const safetensors_tensor * safetensors_reader::find(std::string_view name) const noexcept {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const safetensors_tensor & tensor) { return tensor.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
}

void write_safetensors(const std::string & path, std::span<const safetensors_tensor> tensors, std::span<const std::pair<std::string, std::string>> metadata) {
    json header = json::object();
    if (!metadata.empty()) {
        json entries = json::object();
        for (const auto & [key, value] : metadata) {
            entries.set(key, value);
        }
        header.set(metadata_key, std::move(entries));
    }
    int64_t offset = 0;
    for (const safetensors_tensor & tensor : tensors) {
        json line = json::object();
        const dtype * const found = std::find_if(std::begin(dtypes), std::end(dtypes), [&](const dtype & one) { return one.type == tensor.type; });
        int64_t size = block_bytes(tensor.type);
        json shape = json::array();
        for (const int64_t n : tensor.shape) {
            size *= n;
            shape.push(n);
        }
        if (found == std::end(dtypes) || size != static_cast<int64_t>(tensor.bytes.size())) {
            throw error(failure::argument, "tensor " + in_quotes(tensor.name) + " has not the bytes that its shape wants, or a type that safetensors lacks");
        }
        line.set("dtype", found->name);
        line.set("shape", std::move(shape));
        json offsets = json::array();
        offsets.push(offset);
        offset += size;
        offsets.push(offset);
        line.set("data_offsets", std::move(offsets));
        header.set(tensor.name, std::move(line));
    }
    std::string text = header.write(0);
    // Spaces, so that the data begins at a multiple of 8.
    text.resize((text.size() + 7) / 8 * 8, ' ');
    atomic_file file(path);
    const uint64_t length = text.size();
    file.write(&length, sizeof length);
    file.write(text.data(), static_cast<int64_t>(length));
    for (const safetensors_tensor & tensor : tensors) {
        file.write(tensor.bytes.data(), static_cast<int64_t>(tensor.bytes.size()));
    }
    file.commit();
}

} // namespace continual
