// A device whose work is cut into slices of a bounded time, so that others who use the GPU get in between.
#pragma once

#include "runtime/device.h"
#include "runtime/slice_costs.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace continual {

/*
 * What kernels and products take is learned from the slices themselves: each kernel's time is taken to be its work times a cost of its own, and a slice whose time was expected otherwise corrects the costs of
 * all that was in it by the same factor, in part (multiplicative weights). A slice ends before what would make it longer than the limit, and kernels that can be are cut by their launches (device::most_work).
 * What was seen less than twice is a slice by itself, however long it takes: the first time it is loaded, and by the second its cost is known from then on.
 *
 * Decision: products are cut into blocks of rows by their operations and the number of multiprocessors alone. How they are cut decides how a library adds them up, and equal runs are to give equal results.
 *
 * One slice is queued behind the one that runs, so that the GPU has no need to wait for the host. What others run on the GPU meanwhile counts into a slice's time: under load slices get shorter.
 *
 * One thread at a time; the device behind it may be used by others too.
 */
class paced_device final : public device {
public:
    static constexpr double usual_limit = 2e-3;

    explicit paced_device(std::shared_ptr<device> on);

    // between: called between slices, may throw; null: no slices. Costs are counted anew, and what is known of the work stays.
    void cut(double seconds, std::function<void()> between);
    bool is_cut() const { return between_ != nullptr; }
    // What comes next is part of.
    void enter(pass what);
    // For now nothing more comes: the time until something does is no slice's.
    void close();
    // Of all slices that are over since cut.
    const slice_costs & costs() const { return costs_; }

    void * allocate(int64_t bytes) override { return on_->allocate(bytes); }
    void release(void * memory) noexcept override { on_->release(memory); }
    void upload(void * to, const void * from, int64_t bytes) override { on_->upload(to, from, bytes); }
    void download(void * to, const void * from, int64_t bytes) override;
    void copy(void * to, const void * from, int64_t bytes) override;
    void zero(void * at, int64_t bytes) override;
    void synchronize() override;
    std::unique_ptr<device_mark> make_mark() override { return on_->make_mark(); }
    void set(device_mark & mark) override { on_->set(mark); }
    void wait(device_mark & mark) override { on_->wait(mark); }
    double seconds(device_mark & from, device_mark & to) override { return on_->seconds(from, to); }
    int32_t multiprocessors() override { return on_->multiprocessors(); }
    void launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) override;
    double most_work(const char * kernel) override;
    void multiply(const device_product & product) override;

private:
    // Seconds for one unit of work; 0: not known yet.
    struct cost {
        double each = 0;
        bool loaded = false; // it has run once
    };

    struct item {
        cost * of;
        double work;
    };

    struct slice {
        std::unique_ptr<device_mark> begin;
        std::unique_ptr<device_mark> end;
        std::vector<item> items;
        double expected = 0;
        pass what = pass::rest;
        bool runs = false; // ended by the host, and not yet measured
    };

    cost & cost_of(std::string_view kind);
    // Work that the call asks for, as a part of a slice.
    template <typename Call>
    void pace(std::string_view kind, double work, Call && call);
    // Makes room for what is expected to take so long, and begins a slice where none is open.
    void admit(const cost & of, double work);
    void admitted(cost & of, double work);
    void end_slice();
    void turn();
    void measure(slice & over);
    static void correct(slice & over, double took);
    void settle();

    std::shared_ptr<device> on_;
    double limit_ = usual_limit;
    std::function<void()> between_;
    // By turns: one is filled while the other runs.
    slice slices_[2];
    int filled_ = 0;
    pass what_ = pass::rest;
    slice_costs costs_;
    std::map<std::string, cost, std::less<>> known_; // nodes stay where they are
};

} // namespace continual
