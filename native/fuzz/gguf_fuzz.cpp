// Any bytes: read as GGUF or refused with `error`; what is announced can be touched.
#include "io/gguf.h"
#include "ops/quant.h"
#include "runtime/error.h"

#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size) {
    try {
        const continual::gguf_reader reader({data, size}, "fuzz");
        for (const continual::gguf_tensor & tensor : reader.tensors()) {
            const int64_t elements = block_elements(tensor.type);
            std::vector<float> block(static_cast<std::size_t>(elements));
            const uint8_t * const first = static_cast<const uint8_t *>(tensor.data);
            for (int64_t at = 0; at < tensor.bytes; at += block_bytes(tensor.type)) {
                continual::dequantize(continual::best_isa(), tensor.type, first + at, block.data(), elements);
            }
            if (reader.find_tensor(tensor.name) != &tensor || tensor.bytes != row_bytes(tensor.type, tensor.elements())) {
                std::abort();
            }
        }
        for (const continual::gguf_entry & entry : reader.metadata()) {
            if (reader.find(entry.key) != &entry) {
                std::abort();
            }
            try {
                reader.text(entry.key);
                reader.integer(entry.key);
            } catch (const continual::error &) {
            }
            try {
                reader.number(entry.key);
            } catch (const continual::error &) {
            }
            try {
                reader.numbers(entry.key);
            } catch (const continual::error &) {
            }
            try {
                reader.texts(entry.key);
            } catch (const continual::error &) {
            }
        }
    } catch (const continual::error &) {
    }
    return 0;
}
