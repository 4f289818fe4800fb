#include "io/gguf.h"
#include "model/model.h"

namespace continual {

namespace {

// What a model from a file keeps alive.
struct opened_file {
    explicit opened_file(const std::string & path) : file(path), reader(file.bytes(), path) {}

    mapped_file file;
    gguf_reader reader;
};

} // namespace

std::shared_ptr<model> model::open(const std::string & path) {
    auto opened = std::make_shared<opened_file>(path);
    metadata_table table;
    for (const gguf_entry & entry : opened->reader.metadata()) {
        if (entry.kind == gguf_kind::text) {
            table.texts.emplace(entry.key, *opened->reader.text(entry.key));
        } else if (entry.kind != gguf_kind::array) {
            table.numbers.emplace(entry.key, *opened->reader.number(entry.key));
        }
    }
    const auto type = table.texts.find("general.type");
    if (type != table.texts.end() && type->second != "model") {
        throw error(failure::file, "'" + path + "' is of the type '" + type->second + "', not a model; an adapter goes where adapters are asked for");
    }
    std::vector<tensor_entry> tensors;
    for (const gguf_tensor & tensor : opened->reader.tensors()) {
        tensor_entry entry;
        entry.name = tensor.name;
        entry.type = static_cast<int32_t>(tensor.type);
        entry.dimensions = tensor.dimensions;
        std::copy(std::begin(tensor.ne), std::end(tensor.ne), std::begin(entry.ne));
        entry.data = tensor.data;
        tensors.push_back(entry);
    }
    try {
        auto result = std::make_shared<model>(tensors, table, opened);
        result->path_ = path;
        return result;
    } catch (const error & e) {
        throw error(e.kind(), "'" + path + "': " + e.what());
    }
}

bool model::changed() const {
    return !path_.empty() && static_cast<const opened_file *>(keep_.get())->file.changed();
}

} // namespace continual
