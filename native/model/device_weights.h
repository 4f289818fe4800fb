// Where a model's weights lie on a GPU: borrowed from whoever has them there already, or copied.
#pragma once

#include "model/model.h"
#include "runtime/device.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace continual {

class device_weights {
public:
    // lent: tensors whose data is on the device, where somebody else keeps them; each must have the type and shape of the model's of the same name (others, and those that the trainer has no use for, are
    // passed over), and is compared with the model's file by samples: throws error(mismatch) naming it. What nobody lends is copied. keep: whatever must live as long as
    // what is lent.
    device_weights(std::shared_ptr<device> on, std::shared_ptr<const model> of, const std::vector<tensor_entry> & lent, std::shared_ptr<const void> keep);
    ~device_weights();
    device_weights(const device_weights &) = delete;
    device_weights & operator=(const device_weights &) = delete;

    // The same matrix there. Only those of the model.
    matrix placed(const matrix & weight) const;
    // The same vector there, or null for an empty one.
    const float * placed(const std::vector<float> & vector) const;

    // Bytes that were copied, and that are borrowed.
    int64_t copied_bytes() const noexcept { return copied_; }
    int64_t borrowed_bytes() const noexcept { return borrowed_; }

private:
    void place(const std::string & name, const matrix & weight, const std::vector<tensor_entry> & lent);
    void place(const std::vector<float> & vector);
    const void * find(const void * host) const;
    void * copied(const void * host, int64_t bytes);

    std::shared_ptr<device> on_;
    std::shared_ptr<const model> of_;
    std::shared_ptr<const void> keep_;
    std::unordered_map<const void *, const void *> places_;
    std::vector<void *> own_;
    int64_t copied_ = 0;
    int64_t borrowed_ = 0;
};

} // namespace continual
