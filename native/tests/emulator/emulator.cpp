#include "emulator.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CN_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(CN_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a call must keep on the stack, leaves the stack's place at *from, and goes on at `to`. swapcontext does the same with two calls of the system, which are
// nine tenths of a test's time.
extern "C" void cn_emulator_switch(void ** from, void * to);
asm(R"(
.text
.globl cn_emulator_switch
.type cn_emulator_switch, @function
cn_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cn_emulator_switch, .-cn_emulator_switch
)");
#endif

namespace continual::emulator {

namespace {

#if defined(__x86_64__)
using context = void *;

void swap(context & from, context & to) {
    cn_emulator_switch(&from, to);
}

void make(context & made, char * stack, size_t bytes, void (*begin)()) {
    void ** top = reinterpret_cast<void **>(stack + bytes);
    // As behind a call: 8 bytes off 16. The word above is the return address that `begin` never uses.
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(begin);
    made = top - 6; // registers that are popped first
    std::memset(made, 0, 6 * sizeof(void *));
}
#else
using context = ucontext_t;

void swap(context & from, context & to) {
    swapcontext(&from, &to);
}

void make(context & made, char * stack, size_t bytes, void (*begin)()) {
    getcontext(&made);
    made.uc_stack.ss_sp = stack;
    made.uc_stack.ss_size = bytes;
    made.uc_link = nullptr;
    makecontext(&made, begin, 0);
}
#endif

constexpr int warp = 32;
constexpr size_t stack_bytes = 256 * 1024;

struct known {
    int threads;
    callable kernel;
};

// A function, since registrations run before main in any order.
std::map<std::string, known> & all() {
    static std::map<std::string, known> kernels;
    return kernels;
}

int64_t launch_count = 0;

enum class state { ready, block_barrier, collective, done };

struct copy {
    char * to;
    const char * from;
    bool valid;
};

struct fiber {
    continual::emulator::context context{};
    char * stack = nullptr;
    void * fake_stack = nullptr; // AddressSanitizer's
    place where;
    state now = state::done;
    // A collective function of the warp: which, and what this lane brings and gets.
    const char * kind = "";
    uint32_t value = 0;
    int lane = 0;
    bool transposed = false;
    const void * row = nullptr;
    const uint32_t * a = nullptr;
    uint32_t b[2] = {};
    float * d = nullptr;
    uint32_t * to = nullptr;
    std::vector<std::vector<copy>> copies; // the last group is not committed yet
};

// Who has touched a byte of shared memory since the last barrier of the block. Times within a warp are counted by its own barriers.
struct trace {
    int32_t writer = -1;
    int32_t write_block = -1;
    int32_t write_warp = -1;
    int32_t reader = -1;
    int32_t read_block = -1;
    int32_t read_warp = -1;
    bool many = false;      // more than one thread has read it
    bool other_warps = false; // of more than one warp
    bool written = false;
};

struct machine {
    std::vector<fiber> fibers;
    std::vector<char> shared_store;
    char * shared = nullptr;
    int64_t shared_bytes = 0;
    std::vector<trace> traces;
    int32_t block_time = 0;
    std::vector<int32_t> warp_time;
    context main{};
    void * main_fake_stack = nullptr;
    const void * main_stack = nullptr;
    size_t main_stack_size = 0;
    int current = -1;
    const known * kernel = nullptr;
    const kernel_argument * arguments = nullptr;
    int argument_count = 0;
    std::string failure;

    void fail(const std::string & what) {
        if (failure.empty()) {
            const extent & b = fibers[static_cast<size_t>(current < 0 ? 0 : current)].where.block;
            failure = what + " (block " + std::to_string(b.x) + "," + std::to_string(b.y) + "," + std::to_string(b.z) + ")";
        }
    }
};

machine & on() {
    static machine one;
    return one;
}

fiber & self() {
    machine & m = on();
    return m.fibers[static_cast<size_t>(m.current)];
}

void leave(bool for_ever) {
    machine & m = on();
    fiber & f = self();
#if defined(CN_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &f.fake_stack, m.main_stack, m.main_stack_size);
#endif
    static_cast<void>(for_ever);
    swap(f.context, m.main);
#if defined(CN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(self().fake_stack, nullptr, nullptr);
#endif
}

void begin() {
    machine & m = on();
#if defined(CN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(nullptr, &m.main_stack, &m.main_stack_size);
#endif
    if (!m.kernel->kernel.by(m.kernel->kernel.kernel, m.arguments, m.argument_count)) {
        m.fail("the arguments are not what the kernel takes");
    }
    self().now = state::done;
    leave(true);
}

void enter(int i) {
    machine & m = on();
    m.current = i;
    fiber & f = m.fibers[static_cast<size_t>(i)];
#if defined(CN_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(&m.main_fake_stack, f.stack, stack_bytes);
#endif
    swap(m.main, f.context);
#if defined(CN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(m.main_fake_stack, nullptr, nullptr);
#endif
}

std::string threads_text(int a, int b) {
    return "threads " + std::to_string(a) + " and " + std::to_string(b);
}

// Whether something that `other` did at the given times is ordered before what the current thread does now.
bool ordered(int other, int32_t block_time, int32_t warp_time) {
    const machine & m = on();
    if (block_time != m.block_time || other == m.current) {
        return true;
    }
    return other / warp == m.current / warp && warp_time < m.warp_time[static_cast<size_t>(m.current / warp)];
}

// The offset of an access, or −1 when it is a bad one.
int64_t checked(const void * at, int64_t bytes, int64_t alignment, const char * what) {
    machine & m = on();
    const int64_t offset = static_cast<const char *>(at) - m.shared;
    if (offset < 0 || offset + bytes > m.shared_bytes) {
        m.fail(std::string("shared memory is ") + what + " at " + std::to_string(offset) + " by thread " + std::to_string(m.current) + ", of " + std::to_string(m.shared_bytes) + " bytes");
        return -1;
    }
    if (offset % alignment != 0) {
        m.fail(std::string("shared memory is ") + what + " misaligned at " + std::to_string(offset) + ", by " + std::to_string(alignment));
        return -1;
    }
    return offset;
}

void warp_product(machine & m, size_t first) {
    const auto bf = [](uint32_t word, int half) { return to_float(bf16{static_cast<uint16_t>(word >> (16 * half))}); };
    float a[16][16];
    float b[16][8];
    for (int lane = 0; lane < warp; lane++) {
        const fiber & f = m.fibers[first + static_cast<size_t>(lane)];
        const int g = lane / 4;
        const int t = lane % 4;
        for (int half = 0; half < 2; half++) {
            for (int r = 0; r < 4; r++) {
                a[g + 8 * (r % 2)][2 * t + half + 8 * (r / 2)] = bf(f.a[r], half);
            }
            b[2 * t + half][g] = bf(f.b[0], half);
            b[2 * t + half + 8][g] = bf(f.b[1], half);
        }
    }
    for (int lane = 0; lane < warp; lane++) {
        float * const d = m.fibers[first + static_cast<size_t>(lane)].d;
        for (int r = 0; r < 4; r++) {
            const int row = lane / 4 + 8 * (r / 2);
            const int column = 2 * (lane % 4) + r % 2;
            float sum = d[r];
            for (int k = 0; k < 16; k++) {
                sum += a[row][k] * b[k][column];
            }
            d[r] = sum;
        }
    }
}

void warp_matrices(machine & m, size_t first) {
    for (int lane = 0; lane < warp; lane++) {
        fiber & f = m.fibers[first + static_cast<size_t>(lane)];
        for (int j = 0; j < 4; j++) {
            const auto row = [&](int r) { return static_cast<const uint16_t *>(m.fibers[first + static_cast<size_t>(8 * j + r)].row); };
            const int g = lane / 4;
            const int t = 2 * (lane % 4);
            const uint32_t low = f.transposed ? row(t)[g] : row(g)[t];
            const uint32_t high = f.transposed ? row(t + 1)[g] : row(g)[t + 1];
            f.to[j] = low | high << 16;
        }
    }
}

// All lanes have come: what each gets, and on.
void finish_collective(machine & m, size_t first) {
    const std::string kind = m.fibers[first].kind;
    if (kind == "mma") {
        warp_product(m, first);
    } else if (kind == "load_matrix") {
        warp_matrices(m, first);
    } else if (kind == "warp_barrier") {
        m.warp_time[first / warp]++;
    } else {
        uint32_t values[warp];
        for (size_t lane = 0; lane < warp; lane++) {
            values[lane] = m.fibers[first + lane].value;
        }
        for (size_t lane = 0; lane < warp; lane++) {
            m.fibers[first + lane].value = values[m.fibers[first + lane].lane];
        }
    }
    for (size_t lane = 0; lane < warp; lane++) {
        m.fibers[first + lane].now = state::ready;
    }
}

const char * text_of(const fiber & f) {
    return f.now == state::done ? "has returned" : f.now == state::block_barrier ? "waits at a block_barrier" : f.kind;
}

// Lets go of who can go on; false when nobody can.
bool release(machine & m) {
    bool any = false;
    bool all_at_barrier = true;
    for (size_t first = 0; first < m.fibers.size(); first += warp) {
        bool together = true;
        for (size_t i = first; i < first + warp; i++) {
            const fiber & f = m.fibers[i];
            together = together && f.now == state::collective && std::strcmp(f.kind, m.fibers[first].kind) == 0;
            all_at_barrier = all_at_barrier && f.now == state::block_barrier;
            any = any || f.now == state::ready;
        }
        if (together) {
            finish_collective(m, first);
            any = true;
        }
    }
    if (all_at_barrier) {
        m.block_time++;
        for (fiber & f : m.fibers) {
            f.now = state::ready;
        }
        return true;
    }
    return any;
}

void run_block(machine & m, bool backwards) {
    const int count = static_cast<int>(m.fibers.size());
    for (int i = 0; i < count; i++) {
        fiber & f = m.fibers[static_cast<size_t>(i)];
        f.copies.assign(1, {});
        f.fake_stack = nullptr;
#if defined(CN_ADDRESS_SANITIZER)
        // The frames that were there last never returned: of a kernel that did, only the outermost.
        const size_t used = f.now == state::done ? 16 * 1024 : stack_bytes;
        __asan_unpoison_memory_region(f.stack + stack_bytes - used, used);
#endif
        make(f.context, f.stack, stack_bytes, begin);
        f.now = state::ready;
    }
    std::fill(m.traces.begin(), m.traces.end(), trace{});
    // What nobody wrote is not a number, and is told besides.
    std::memset(m.shared, 0xff, static_cast<size_t>(m.shared_bytes));
    m.block_time = 0;
    m.warp_time.assign(static_cast<size_t>(count / warp), 0);
    while (m.failure.empty()) {
        int done = 0;
        for (int n = 0; n < count; n++) {
            const int i = backwards ? count - 1 - n : n;
            if (m.fibers[static_cast<size_t>(i)].now == state::ready) {
                enter(i);
            }
            done += m.fibers[static_cast<size_t>(i)].now == state::done ? 1 : 0;
        }
        if (done == count) {
            break;
        }
        if (!release(m)) {
            // The first two that are not at the same place tell most.
            const fiber & first = m.fibers[0];
            int other = 0;
            for (int i = 0; i < count; i++) {
                const fiber & f = m.fibers[static_cast<size_t>(i)];
                if (std::strcmp(text_of(f), text_of(first)) != 0) {
                    other = i;
                    break;
                }
            }
            m.fail(std::string("threads have parted: thread 0: ") + text_of(first) + ", thread " + std::to_string(other) + ": " + text_of(m.fibers[static_cast<size_t>(other)]));
        }
    }
    m.current = -1;
    for (const fiber & f : m.fibers) {
        for (const auto & group : f.copies) {
            if (!group.empty() && m.failure.empty()) {
                m.fail("thread " + std::to_string(f.where.thread) + " ends with copies that it never waited for");
            }
        }
    }
}

} // namespace

registration::registration(const char * name, int threads, callable kernel) {
    if (!all().emplace(name, known{threads, kernel}).second) {
        std::fprintf(stderr, "two kernels are called %s\n", name);
        std::abort();
    }
}

int64_t launches() {
    return launch_count;
}

std::vector<std::string> kernels() {
    std::vector<std::string> names;
    for (const auto & [name, kernel] : all()) {
        names.push_back(name);
    }
    return names;
}

void launch(const char * name, extent grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, bool backwards) {
    const auto found = all().find(name);
    if (found == all().end()) {
        throw std::runtime_error(std::string("there is no kernel ") + name);
    }
    if (threads < warp || threads > 1024 || threads % warp != 0 || threads > found->second.threads || grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535 || shared_bytes < 0 || shared_bytes > 227 * 1024) {
        throw std::runtime_error(std::string(name) + " can't be launched with " + std::to_string(grid.x) + "x" + std::to_string(grid.y) + "x" + std::to_string(grid.z) + " blocks of " + std::to_string(threads) +
                                 " threads and " + std::to_string(shared_bytes) + " bytes of shared memory");
    }
    launch_count++;
    machine & m = on();
    m.kernel = &found->second;
    m.arguments = arguments;
    m.argument_count = count;
    m.failure.clear();
    m.fibers.resize(static_cast<size_t>(threads));
    for (fiber & f : m.fibers) {
        if (f.stack == nullptr) {
            // Kept for the next launch. MAP_STACK and untouched pages cost nothing.
            void * const memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
            if (memory == MAP_FAILED) {
                throw std::bad_alloc();
            }
            f.stack = static_cast<char *>(memory);
        }
    }
    m.shared_bytes = shared_bytes;
    m.shared_store.assign(static_cast<size_t>(shared_bytes) + 256, 0);
    m.shared = m.shared_store.data() + (128 - reinterpret_cast<uintptr_t>(m.shared_store.data()) % 128);
    m.traces.resize(static_cast<size_t>(shared_bytes));
    for (int z = 0; z < grid.z && m.failure.empty(); z++) {
        for (int y = 0; y < grid.y && m.failure.empty(); y++) {
            for (int x = 0; x < grid.x && m.failure.empty(); x++) {
                for (int i = 0; i < threads; i++) {
                    m.fibers[static_cast<size_t>(i)].where = {i, threads, {x, y, z}, grid};
                }
                run_block(m, backwards);
            }
        }
    }
    if (!m.failure.empty()) {
        throw std::runtime_error(std::string(name) + ": " + m.failure);
    }
}

void launch(const char * name, extent grid, int threads, int64_t shared_bytes, void * const * at) {
    const auto found = all().find(name);
    kernel_argument arguments[64];
    const int count = found == all().end() ? 0 : found->second.kernel.from(at, arguments);
    launch(name, grid, threads, shared_bytes, arguments, count);
}

const place & here() {
    return self().where;
}

char * shared_memory(int64_t offset) {
    return on().shared + offset;
}

void reads_shared(const void * at, int64_t bytes, int64_t alignment) {
    machine & m = on();
    const int64_t offset = checked(at, bytes, alignment, "read");
    for (int64_t i = 0; offset >= 0 && i < bytes; i++) {
        trace & t = m.traces[static_cast<size_t>(offset + i)];
        if (!t.written) {
            m.fail("thread " + std::to_string(m.current) + " reads shared memory at " + std::to_string(offset + i) + ", which nobody wrote");
            return;
        }
        if (!ordered(t.writer, t.write_block, t.write_warp)) {
            m.fail("race: " + threads_text(t.writer, m.current) + " write and read shared memory at " + std::to_string(offset + i) + " without a barrier between");
            return;
        }
        if (t.read_block != m.block_time) {
            t.many = t.other_warps = false;
        } else if (t.reader != m.current) {
            t.many = true;
            t.other_warps = t.other_warps || t.reader / warp != m.current / warp;
        }
        t.reader = m.current;
        t.read_block = m.block_time;
        t.read_warp = m.warp_time[static_cast<size_t>(m.current / warp)];
    }
}

void writes_shared(const void * at, int64_t bytes, int64_t alignment) {
    machine & m = on();
    const int64_t offset = checked(at, bytes, alignment, "written");
    for (int64_t i = 0; offset >= 0 && i < bytes; i++) {
        trace & t = m.traces[static_cast<size_t>(offset + i)];
        if (t.written && !ordered(t.writer, t.write_block, t.write_warp)) {
            m.fail("race: " + threads_text(t.writer, m.current) + " both write shared memory at " + std::to_string(offset + i) + " without a barrier between");
            return;
        }
        const bool read_now = t.reader >= 0 && t.read_block == m.block_time;
        const bool same_warp = t.reader / warp == m.current / warp && !t.other_warps;
        const bool behind = same_warp && t.read_warp < m.warp_time[static_cast<size_t>(m.current / warp)];
        if (read_now && !behind && (t.many || t.reader != m.current)) {
            m.fail("race: " + threads_text(t.reader, m.current) + " read and write shared memory at " + std::to_string(offset + i) + " without a barrier between");
            return;
        }
        t.written = true;
        t.writer = m.current;
        t.write_block = m.block_time;
        t.write_warp = m.warp_time[static_cast<size_t>(m.current / warp)];
    }
}

void touches_global(const void * at, int64_t alignment) {
    if (reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(alignment) != 0) {
        on().fail("global memory is touched at a place that is not aligned to " + std::to_string(alignment));
    }
}

void at_block_barrier() {
    self().now = state::block_barrier;
    leave(false);
}

void at_warp_barrier() {
    fiber & f = self();
    f.now = state::collective;
    f.kind = "warp_barrier";
    leave(false);
}

uint32_t shuffled(uint32_t value, int lane, const char * kind) {
    fiber & f = self();
    f.now = state::collective;
    f.kind = kind;
    f.value = value;
    f.lane = lane;
    leave(false);
    return self().value;
}

void multiply(float * d, const uint32_t * a, uint32_t b0, uint32_t b1) {
    fiber & f = self();
    f.now = state::collective;
    f.kind = "mma";
    f.a = a;
    f.b[0] = b0;
    f.b[1] = b1;
    f.d = d;
    leave(false);
}

void load_matrices(uint32_t * to, const void * row, bool transposed) {
    reads_shared(row, 16, 16);
    fiber & f = self();
    f.now = state::collective;
    f.kind = "load_matrix";
    f.row = row;
    f.transposed = transposed;
    f.to = to;
    leave(false);
}

void begin_copy(void * to, const void * from, bool valid) {
    machine & m = on();
    // On its way from now on until the wait, so that both are moments of a write.
    writes_shared(to, 16, 16);
    if (valid && reinterpret_cast<uintptr_t>(from) % 16 != 0) {
        m.fail("copy_async from a place that is not aligned to 16");
    }
    std::memset(to, 0xff, 16);
    self().copies.back().push_back({static_cast<char *>(to), static_cast<const char *>(from), valid});
}

void commit_copies() {
    self().copies.emplace_back();
}

void wait_for_copies(int left) {
    auto & groups = self().copies;
    // Committed groups: all but the last.
    while (static_cast<int>(groups.size()) - 1 > left) {
        for (const copy & c : groups.front()) {
            writes_shared(c.to, 16, 16);
            if (c.valid) {
                std::memcpy(c.to, c.from, 16);
            } else {
                std::memset(c.to, 0, 16);
            }
        }
        groups.erase(groups.begin());
    }
}

} // namespace continual::emulator
