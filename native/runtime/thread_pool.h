// Threads that share out numbered tasks.
#pragma once

#include "runtime/cpu.h"

#include <cstdint>
#include <memory>
#include <type_traits>

namespace continual {

enum class scheduling : int32_t {
    normal = 0,
    // SCHED_IDLE (Linux), the lowest priority class elsewhere: runs only when nothing else wants the processor.
    idle = 1,
};

// `threads` workers, the calling thread among them while it is in run(), unless scheduling::idle leaves it out. Not reentrant; one caller at a time. Workers
// sleep between runs (a short spin first, none with scheduling::idle).
class thread_pool {
public:
    // Throws std::system_error when a thread can't be made. With scheduling::idle all work is done by threads of the pool, and the caller only waits, so
    // that its own scheduling class stays what it was.
    thread_pool(int32_t threads, scheduling policy);
    ~thread_pool();
    thread_pool(const thread_pool &) = delete;
    thread_pool & operator=(const thread_pool &) = delete;

    int32_t threads() const noexcept;

    // Calls body(task, worker) for every task in [0, tasks), each once, worker in [0, threads()); returns when all are done. Which
    // worker gets which task varies; what a task computes must not depend on it. If a body throws, the rest is skipped and the
    // first exception is thrown here.
    template <typename Body>
    void run(int64_t tasks, Body && body) {
        using function = std::remove_reference_t<Body>;
        run_erased(
            tasks, [](void * context, int64_t task, int32_t worker) { (*static_cast<function *>(context))(task, worker); },
            const_cast<void *>(static_cast<const void *>(&body)));
    }

    // Calls body() once, and returns when it has ended; what it throws is thrown here. With scheduling::idle a thread of the pool calls it, and is the caller of the
    // run() within, so that many of them cost no change of threads each. run() belongs to the body until then. Not within a body.
    template <typename Body>
    void lead(Body && body) {
        using function = std::remove_reference_t<Body>;
        lead_erased([](void * context) { (*static_cast<function *>(context))(); }, const_cast<void *>(static_cast<const void *>(&body)));
    }

    // Within a body of lead(), outside of run(): calls body() on the thread that is in lead(), and returns when it has ended; what it throws is thrown here. Elsewhere it
    // just calls it.
    template <typename Body>
    void hand_back(Body && body) {
        using function = std::remove_reference_t<Body>;
        hand_back_erased([](void * context) { (*static_cast<function *>(context))(); }, const_cast<void *>(static_cast<const void *>(&body)));
    }

private:
    void run_erased(int64_t tasks, void (*call)(void *, int64_t, int32_t), void * context);
    void lead_erased(void (*call)(void *), void * context);
    void hand_back_erased(void (*call)(void *), void * context);

    struct state;
    std::unique_ptr<state> state_;
};

// What an op runs on.
struct cpu_context {
    thread_pool & pool;
    isa level;
};

} // namespace continual
