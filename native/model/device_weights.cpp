#include "model/device_weights.h"

#include <algorithm>
#include <cstring>

namespace continual {

namespace {

// Samples of a borrowed tensor: at both ends and between, enough to tell another model or another layout, few enough to take no time.
constexpr int64_t samples = 5;
constexpr int64_t sample_bytes = 256;

} // namespace

device_weights::device_weights(std::shared_ptr<device> on, std::shared_ptr<const model> of, const std::vector<tensor_entry> & lent, std::shared_ptr<const void> keep)
    : on_(std::move(on)), of_(std::move(of)), keep_(std::move(keep)) {
    try {
        place("token_embd.weight", of_->embedding(), lent);
        if (!of_->tied()) {
            place("output.weight", of_->output(), lent);
        }
        place(of_->output_norm());
        place(of_->output_bias());
        for (size_t i = 0; i < of_->layers().size(); i++) {
            const model_layer & layer = of_->layers()[i];
            for (int l = 0; l < linears_of_layer; l++) {
                place("blk." + std::to_string(i) + "." + linear_names[l] + ".weight", layer.weight[l], lent);
                place(layer.bias[l]);
            }
            place(layer.attn_norm);
            place(layer.ffn_norm);
            place(layer.q_norm);
            place(layer.k_norm);
        }
        on_->synchronize();
    } catch (...) {
        for (void * memory : own_) {
            on_->release(memory);
        }
        throw;
    }
}

device_weights::~device_weights() {
    for (void * memory : own_) {
        on_->release(memory);
    }
}

void * device_weights::copied(const void * host, int64_t bytes) {
    own_.push_back(nullptr);
    own_.back() = on_->allocate(bytes);
    on_->upload(own_.back(), host, bytes);
    copied_ += bytes;
    return own_.back();
}

void device_weights::place(const std::string & name, const matrix & weight, const std::vector<tensor_entry> & lent) {
    const int64_t bytes = weight.rows * weight.row_stride();
    const auto found = std::find_if(lent.begin(), lent.end(), [&](const tensor_entry & t) { return t.name == name; });
    if (found == lent.end()) {
        places_[weight.data] = copied(weight.data, bytes);
        return;
    }
    if (found->type != static_cast<int32_t>(weight.type) || found->ne[0] != weight.columns || found->ne[1] != weight.rows || found->ne[2] != 1 || found->ne[3] != 1) {
        throw error(failure::mismatch, "the engine's tensor " + name + " has another type or shape than the file's: it runs another model than the one to train");
    }
    for (int64_t i = 0; i < samples; i++) {
        const int64_t length = std::min(sample_bytes, bytes);
        const int64_t at = (bytes - length) * i / (samples - 1);
        char there[sample_bytes];
        on_->download(there, static_cast<const char *>(found->data) + at, length);
        if (std::memcmp(there, static_cast<const char *>(weight.data) + at, static_cast<size_t>(length)) != 0) {
            throw error(failure::mismatch, "the engine's tensor " + name + " differs from the file's at byte " + std::to_string(at) + ": the file has changed since the engine loaded it, or the engine keeps it in another layout");
        }
    }
    places_[weight.data] = found->data;
    borrowed_ += bytes;
}

void device_weights::place(const std::vector<float> & vector) {
    if (!vector.empty()) {
        places_[vector.data()] = copied(vector.data(), static_cast<int64_t>(vector.size() * sizeof(float)));
    }
}

const void * device_weights::find(const void * host) const {
    const auto found = places_.find(host);
    if (found == places_.end()) {
        throw error(failure::device, "a tensor was not placed on the device");
    }
    return found->second;
}

matrix device_weights::placed(const matrix & weight) const {
    matrix there = weight;
    there.data = find(weight.data);
    return there;
}

const float * device_weights::placed(const std::vector<float> & vector) const {
    return vector.empty() ? nullptr : static_cast<const float *>(find(vector.data()));
}

} // namespace continual
