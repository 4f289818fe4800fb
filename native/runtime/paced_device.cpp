#include "runtime/paced_device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace continual {

namespace {

// Rows of a product are cut into whole tiles.
constexpr int64_t tile_rows = 128;

// Operations a second that a multiprocessor makes at least, of the smallest GPUs that can train: larger ones have their slices' products in smaller pieces than they would need.
constexpr double least_rate = 1e12;

// How far one slice corrects what is known: enough to follow another load, little enough that one outlier does not lead it astray.
constexpr double pull = 0.3;
constexpr double most_correction = 4.0;

} // namespace

paced_device::paced_device(std::shared_ptr<device> on) : on_(std::move(on)) {
    for (slice & s : slices_) {
        s.begin = on_->make_mark();
        s.end = on_->make_mark();
    }
}

void paced_device::cut(double seconds, std::function<void()> between) {
    settle();
    limit_ = seconds;
    between_ = std::move(between);
    costs_ = {};
}

void paced_device::enter(pass what) {
    if (what != what_ && is_cut() && !slices_[filled_].items.empty()) {
        end_slice();
    }
    what_ = what;
}

void paced_device::download(void * to, const void * from, int64_t bytes) {
    on_->download(to, from, bytes);
    settle();
}

void paced_device::synchronize() {
    on_->synchronize();
    settle();
}

template <typename Call>
void paced_device::pace(std::string_view kind, double work, Call && call) {
    if (!is_cut()) {
        call();
        return;
    }
    cost & of = cost_of(kind);
    admit(of, work);
    call();
    admitted(of, work);
}

void paced_device::copy(void * to, const void * from, int64_t bytes) {
    pace("copy", static_cast<double>(bytes), [&] { on_->copy(to, from, bytes); });
}

void paced_device::zero(void * at, int64_t bytes) {
    pace("zero", static_cast<double>(bytes), [&] { on_->zero(at, bytes); });
}

void paced_device::launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) {
    pace(kernel, work, [&] { on_->launch(kernel, grid, threads, shared_bytes, arguments, count, work); });
}

double paced_device::most_work(const char * kernel) {
    const double each = is_cut() ? cost_of(kernel).each : 0;
    return each > 0 ? limit_ / each : std::numeric_limits<double>::infinity();
}

void paced_device::multiply(const device_product & product) {
    if (!is_cut()) {
        on_->multiply(product);
        return;
    }
    const auto letters = [](const device_product::side & s) { return s.transposed ? 't' : 'n'; };
    char kind[64];
    std::snprintf(kind, sizeof kind, "product %lld %c%c%c%c%c", static_cast<long long>(product.n), letters(product.left), letters(product.right), product.left.is_bf16 ? 'b' : 'f',
                  product.out_is_bf16 ? 'b' : 'f', product.accumulate ? '+' : '=');
    const double of_a_row = 2.0 * static_cast<double>(product.n) * static_cast<double>(product.k);
    const double fit = limit_ * least_rate * static_cast<double>(on_->multiprocessors()) / of_a_row;
    const int64_t rows = fit >= static_cast<double>(product.m) ? product.m : std::max<int64_t>(tile_rows, static_cast<int64_t>(fit) / tile_rows * tile_rows);
    for (int64_t first = 0; first < product.m; first += rows) {
        device_product part = product;
        part.m = std::min(rows, product.m - first);
        const int64_t left = first * (product.left.transposed ? 1 : product.left.stride);
        part.left.data = static_cast<const char *>(product.left.data) + left * (product.left.is_bf16 ? 2 : 4);
        part.out = static_cast<char *>(product.out) + first * product.out_stride * (product.out_is_bf16 ? 2 : 4);
        // Below a tile, a product takes as long as a tile.
        const double work = static_cast<double>(std::max(part.m, tile_rows)) * static_cast<double>(product.k);
        pace(kind, work, [&] { on_->multiply(part); });
    }
}

paced_device::cost & paced_device::cost_of(std::string_view kind) {
    const auto found = known_.find(kind);
    return found != known_.end() ? found->second : known_.emplace(kind, cost{}).first->second;
}

void paced_device::admit(const cost & of, double work) {
    const double expected = of.each * work;
    if (!slices_[filled_].items.empty() && (of.each == 0 || slices_[filled_].expected + expected > limit_)) {
        end_slice();
    }
    slice & now = slices_[filled_];
    if (now.items.empty()) {
        on_->set(*now.begin);
        now.what = what_;
    }
}

void paced_device::admitted(cost & of, double work) {
    slice & now = slices_[filled_];
    now.items.push_back({&of, work});
    now.expected += of.each * work;
    if (of.each == 0) {
        end_slice();
        // What it takes is to be known before it comes again.
        settle();
    }
}

void paced_device::end_slice() {
    turn();
    between_();
}

// The open slice is over for the host, and the one before it on the device.
void paced_device::turn() {
    slice & ended = slices_[filled_];
    on_->set(*ended.end);
    ended.runs = true;
    filled_ = 1 - filled_;
    slice & before = slices_[filled_];
    if (before.runs) {
        on_->wait(*before.end);
        measure(before);
    }
}

void paced_device::close() {
    if (!slices_[filled_].items.empty()) {
        turn();
    }
}

// Of a slice that is over.
void paced_device::measure(slice & over) {
    const double took = on_->seconds(*over.begin, *over.end);
    if (over.items.size() == 1 && !over.items[0].of->loaded) {
        // The driver has loaded it meanwhile, or compiled it: that is nobody's cost.
        over.items[0].of->loaded = true;
    } else if (over.items.size() == 1 && over.items[0].of->each == 0) {
        costs_.add(over.what, took);
        // Never 0, which is what is not known.
        over.items[0].of->each = std::max(took, 1e-9) / std::max(over.items[0].work, 1.0);
    } else {
        costs_.add(over.what, took);
        correct(over, took);
    }
    over.items.clear();
    over.expected = 0;
    over.runs = false;
}

// What took longer than expected costs more, all of it by the same factor.
void paced_device::correct(slice & over, double took) {
    if (!(over.expected > 0)) {
        return;
    }
    const double factor = std::pow(std::clamp(took / over.expected, 1 / most_correction, most_correction), pull);
    // Once for each kind, however often it is there.
    std::sort(over.items.begin(), over.items.end(), [](const item & a, const item & b) { return std::less<>()(a.of, b.of); });
    const cost * last = nullptr;
    for (const item & i : over.items) {
        if (i.of != last) {
            i.of->each *= factor;
            last = i.of;
        }
    }
}

// Both slices are waited for and measured.
void paced_device::settle() {
    close();
    slice & last = slices_[1 - filled_];
    if (last.runs) {
        on_->wait(*last.end);
        measure(last);
    }
}

} // namespace continual
