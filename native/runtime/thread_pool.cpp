#include "runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#elif defined(__APPLE__)
#include <pthread/qos.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace continual {

namespace {

// Longer than the gap between two products of one layer, far shorter than a time slice of the scheduler.
constexpr std::chrono::microseconds spin_time{30};

void pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// Waits for done() for a short time; false when that was not enough.
template <typename Done>
bool spin(const Done & done) {
    const auto end = std::chrono::steady_clock::now() + spin_time;
    do {
        for (int i = 0; i < 32; i++) {
            if (done()) {
                return true;
            }
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return done();
}

// Moves the calling thread to the class that runs only when the processor would be idle. 0, or the error.
int become_idle() noexcept {
#if defined(__linux__)
    sched_param none{};
    if (sched_setscheduler(0, SCHED_IDLE, &none) == 0) {
        return 0;
    }
    const int error = errno;
    // Some sandboxes know no SCHED_IDLE; the largest nice value is the next best. Both are per thread on Linux.
    return setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19) == 0 ? 0 : error;
#elif defined(_WIN32)
    return SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_IDLE) ? 0 : static_cast<int>(GetLastError());
#elif defined(__APPLE__)
    return pthread_set_qos_class_self_np(QOS_CLASS_BACKGROUND, 0);
#else
    return ENOTSUP;
#endif
}

} // namespace

// How a run goes. The caller writes the job, opens it and raises `generation`. A worker that sees the new number enters (inside + 1), looks whether the job
// is still open, takes tasks off `next` until none is left, and leaves (inside - 1). The caller closes the job and waits until nobody is inside. So a
// worker that wakes up late is not waited for, and it can't touch a job that is over: entering and closing are sequentially consistent, one of
// them sees the other.
struct thread_pool::state {
    int32_t threads = 1;
    scheduling policy = scheduling::normal;
    bool spins = true;

    // The job, constant while it is open.
    int64_t tasks = 0;
    void (*call)(void *, int64_t, int32_t) = nullptr;
    void * context = nullptr;

    // Apart from each other: all threads write `next` and `inside` in turn while workers spin on `generation`.
    alignas(64) std::atomic<int64_t> next{0};
    alignas(64) std::atomic<int32_t> inside{0};
    alignas(64) std::atomic<uint64_t> generation{0};
    std::atomic<bool> open{false};
    std::atomic<bool> stop{false};

    alignas(64) std::mutex mutex;
    std::condition_variable work;  // generation or stop changed
    std::condition_variable quiet; // a worker left, or started
    int32_t asleep = 0;
    bool caller_asleep = false;
    int32_t started = 0;
    int start_error = 0;
    std::exception_ptr error;

    // What crosses over between lead()'s caller and worker 0, each way one call at a time.
    struct errand {
        void (*call)(void *) = nullptr; // null: nothing to do
        void * context = nullptr;
        std::exception_ptr error;

        // Done under the lock of `mutex`, but for the call itself.
        void carry_out(std::unique_lock<std::mutex> & lock) noexcept {
            lock.unlock();
            std::exception_ptr thrown;
            try {
                call(context);
            } catch (...) {
                thrown = std::current_exception();
            }
            lock.lock();
            error = std::move(thrown);
            call = nullptr;
        }

        void rethrow() {
            if (error) {
                std::rethrow_exception(std::exchange(error, nullptr));
            }
        }
    };
    errand led;
    errand handed_back;
    std::condition_variable crossed; // one of them has begun or ended
    // Worker 0 is in lead()'s body, and the caller of run().
    std::atomic<bool> leads{false};

    std::vector<std::thread> workers;

    void take_tasks(int32_t worker) noexcept {
        for (;;) {
            const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
            if (task >= tasks) {
                return;
            }
            try {
                call(context, task, worker);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (!error) {
                    error = std::current_exception();
                }
                next.store(tasks, std::memory_order_relaxed);
            }
        }
    }

    void leave() {
        if (inside.fetch_sub(1) == 1) {
            const std::lock_guard lock(mutex);
            if (caller_asleep) {
                quiet.notify_all();
            }
        }
    }

    // Whether every task has been taken and is done. While the job is open this can be undone only by a worker that finds no task.
    bool is_done() const noexcept { return next.load(std::memory_order_acquire) >= tasks && inside.load() == 0; }

    template <typename Done>
    void wait(const Done & done) {
        if (spins && spin(done)) {
            return;
        }
        std::unique_lock lock(mutex);
        caller_asleep = true;
        quiet.wait(lock, done);
        caller_asleep = false;
    }

    void live(int32_t worker) {
        {
            const int failed = policy == scheduling::idle ? become_idle() : 0;
            const std::lock_guard lock(mutex);
            start_error = start_error != 0 ? start_error : failed;
            started++;
            quiet.notify_all();
        }
        uint64_t seen = 0;
        const auto called = [&] { return generation.load(std::memory_order_acquire) != seen || stop.load(std::memory_order_relaxed) || (worker == 0 && leads.load()); };
        for (;;) {
            if (!(spins && spin(called))) {
                std::unique_lock lock(mutex);
                asleep++;
                work.wait(lock, called);
                asleep--;
            }
            if (stop.load(std::memory_order_relaxed)) {
                return;
            }
            if (worker == 0 && leads.load()) {
                std::unique_lock lock(mutex);
                led.carry_out(lock);
                leads.store(false);
                crossed.notify_all();
                continue;
            }
            seen = generation.load(std::memory_order_acquire);
            inside.fetch_add(1);
            if (open.load()) {
                take_tasks(worker);
            }
            leave();
        }
    }

    void end() noexcept {
        {
            const std::lock_guard lock(mutex);
            stop.store(true, std::memory_order_relaxed);
        }
        work.notify_all();
        for (std::thread & worker : workers) {
            worker.join();
        }
    }
};

thread_pool::thread_pool(int32_t threads, scheduling policy) : state_(std::make_unique<state>()) {
    state & s = *state_;
    s.threads = std::max(threads, 1);
    s.policy = policy;
    // Spinning only helps when each thread has a processor to spin on.
    s.spins = policy == scheduling::normal && static_cast<uint32_t>(s.threads) <= std::max(1u, std::thread::hardware_concurrency());
    const int32_t first = policy == scheduling::idle ? 0 : 1;
    try {
        s.workers.reserve(static_cast<size_t>(s.threads - first));
        for (int32_t worker = first; worker < s.threads; worker++) {
            s.workers.emplace_back([&s, worker] { s.live(worker); });
        }
        std::unique_lock lock(s.mutex);
        s.quiet.wait(lock, [&] { return s.started == static_cast<int32_t>(s.workers.size()); });
        if (s.start_error != 0) {
            throw std::system_error(s.start_error, std::system_category(), "the system does not let a thread take the lowest priority; use normal scheduling");
        }
    } catch (...) {
        s.end();
        throw;
    }
}

thread_pool::~thread_pool() {
    state_->end();
}

int32_t thread_pool::threads() const noexcept {
    return state_->threads;
}

void thread_pool::run_erased(int64_t tasks, void (*call)(void *, int64_t, int32_t), void * context) {
    state & s = *state_;
    if (tasks <= 0) {
        return;
    }
    const bool caller_works = s.policy == scheduling::normal || s.leads.load();
    if (caller_works && (tasks == 1 || s.threads == 1)) {
        for (int64_t task = 0; task < tasks; task++) {
            call(context, task, 0);
        }
        return;
    }
    s.tasks = tasks;
    s.call = call;
    s.context = context;
    s.next.store(0, std::memory_order_relaxed);
    s.open.store(true);
    bool wake;
    {
        const std::lock_guard lock(s.mutex);
        s.generation.fetch_add(1, std::memory_order_release);
        wake = s.asleep > 0;
    }
    if (wake) {
        s.work.notify_all();
    }
    if (caller_works) {
        s.take_tasks(0);
    } else {
        s.wait([&] { return s.is_done(); });
    }
    s.open.store(false);
    s.wait([&] { return s.inside.load() == 0; });
    if (s.error) {
        std::rethrow_exception(std::exchange(s.error, nullptr));
    }
}

void thread_pool::lead_erased(void (*call)(void *), void * context) {
    state & s = *state_;
    if (s.policy == scheduling::normal) {
        call(context);
        return;
    }
    std::unique_lock lock(s.mutex);
    s.led.call = call;
    s.led.context = context;
    s.leads.store(true);
    s.work.notify_all();
    for (;;) {
        s.crossed.wait(lock, [&] { return s.led.call == nullptr || s.handed_back.call != nullptr; });
        if (s.handed_back.call == nullptr) {
            break;
        }
        s.handed_back.carry_out(lock);
        s.crossed.notify_all();
    }
    s.led.rethrow();
}

void thread_pool::hand_back_erased(void (*call)(void *), void * context) {
    state & s = *state_;
    if (!s.leads.load()) {
        call(context);
        return;
    }
    std::unique_lock lock(s.mutex);
    s.handed_back.call = call;
    s.handed_back.context = context;
    s.crossed.notify_all();
    s.crossed.wait(lock, [&] { return s.handed_back.call == nullptr; });
    s.handed_back.rethrow();
}

} // namespace continual
