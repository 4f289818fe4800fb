#include "harness.h"

#include "runtime/thread_pool.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace continual;

TEST(thread_pool_runs_each_task_once) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        for (const int32_t threads : {1, 2, 3, 5, 8}) {
            thread_pool pool(threads, policy);
            CHECK_EQ(pool.threads(), threads);
            for (const int64_t tasks : {0, 1, 2, 3, 7, 100, 1000}) {
                std::vector<int> times(static_cast<size_t>(tasks));
                std::atomic<bool> in_range{true};
                pool.run(tasks, [&](int64_t task, int32_t worker) {
                    times[static_cast<size_t>(task)]++;
                    if (worker < 0 || worker >= threads) {
                        in_range = false;
                    }
                });
                CHECK(in_range);
                for (const int count : times) {
                    CHECK_EQ(count, 1);
                }
            }
        }
    }
}

// Two tasks that run at once never have the same worker: scratch memory is handed out by it.
TEST(thread_pool_gives_each_worker_one_task_at_a_time) {
    thread_pool pool(4, scheduling::normal);
    std::atomic<int> busy[4] = {};
    std::atomic<bool> alone{true};
    for (int run = 0; run < 50; run++) {
        pool.run(40, [&](int64_t, int32_t worker) {
            if (busy[worker].fetch_add(1) != 0) {
                alone = false;
            }
            std::this_thread::yield();
            busy[worker].fetch_sub(1);
        });
    }
    CHECK(alone);
}

TEST(thread_pool_sees_what_was_written_before_and_shows_what_it_wrote) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        thread_pool pool(3, policy);
        std::vector<int64_t> values(64, 1);
        for (int run = 0; run < 2000; run++) {
            pool.run(64, [&](int64_t task, int32_t) { values[static_cast<size_t>(task)] += task; });
            values[static_cast<size_t>(run % 64)]++;
        }
        int64_t sum = 0;
        for (const int64_t value : values) {
            sum += value;
        }
        CHECK_EQ(sum, 64 + 2000 * (63 * 64 / 2) + 2000);
    }
}

TEST(thread_pool_wakes_after_a_pause) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        thread_pool pool(2, policy);
        for (int run = 0; run < 10; run++) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            std::atomic<int> count{0};
            pool.run(5, [&](int64_t, int32_t) { count++; });
            CHECK_EQ(count.load(), 5);
        }
    }
}

TEST(thread_pool_throws_what_a_task_threw_and_goes_on) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        for (const int32_t threads : {1, 4}) {
            thread_pool pool(threads, policy);
            for (int run = 0; run < 20; run++) {
                std::string caught;
                std::atomic<int64_t> started{0};
                try {
                    pool.run(100000, [&](int64_t task, int32_t) {
                        started++;
                        if (task == 3) {
                            throw std::runtime_error("task 3");
                        }
                    });
                } catch (const std::runtime_error & error) {
                    caught = error.what();
                }
                CHECK_EQ(caught, "task 3");
                CHECK(started.load() >= 4);
                std::atomic<int> count{0};
                pool.run(10, [&](int64_t, int32_t) { count++; });
                CHECK_EQ(count.load(), 10);
            }
        }
    }
}

TEST(thread_pool_can_live_briefly) {
    for (int i = 0; i < 100; i++) {
        thread_pool pool(3, i % 2 == 0 ? scheduling::normal : scheduling::idle);
        if (i % 3 == 0) {
            pool.run(2, [](int64_t, int32_t) {});
        }
    }
}

TEST(thread_pool_leaves_the_caller_its_scheduling) {
#if defined(__linux__)
    const int before = sched_getscheduler(0);
    thread_pool pool(2, scheduling::idle);
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> other{0};
    std::atomic<bool> by_caller{false};
    pool.run(20, [&](int64_t, int32_t) {
        if (sched_getscheduler(0) != SCHED_IDLE) {
            other++;
        }
        if (std::this_thread::get_id() == caller) {
            by_caller = true;
        }
    });
    CHECK(!by_caller);
    CHECK_EQ(other.load(), 0);
    CHECK_EQ(sched_getscheduler(0), before);
#else
    SKIP("asks Linux for a thread's scheduling class");
#endif
}

TEST(thread_pool_is_led_by_one_of_its_own) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        for (const int32_t threads : {1, 2, 5}) {
            thread_pool pool(threads, policy);
            const std::thread::id caller = std::this_thread::get_id();
            for (int time = 0; time < 20; time++) {
                std::thread::id leader;
                std::vector<int> times(200);
                std::atomic<bool> in_range{true};
                int handed = 0;
                pool.lead([&] {
                    leader = std::this_thread::get_id();
                    for (int run = 0; run < 10; run++) {
                        pool.run(200, [&](int64_t task, int32_t worker) {
                            times[static_cast<size_t>(task)]++;
                            if (worker < 0 || worker >= threads) {
                                in_range = false;
                            }
                        });
                        pool.hand_back([&] { handed += std::this_thread::get_id() == caller ? 1 : 0; });
                    }
                });
                CHECK_EQ(leader == caller, policy == scheduling::normal);
                CHECK_EQ(handed, 10);
                CHECK(in_range);
                for (const int count : times) {
                    CHECK_EQ(count, 10);
                }
                // And by itself again.
                std::atomic<int> count{0};
                pool.run(7, [&](int64_t, int32_t) { count++; });
                CHECK_EQ(count.load(), 7);
            }
        }
    }
}

TEST(thread_pool_throws_what_its_leader_or_its_caller_threw) {
    for (const scheduling policy : {scheduling::normal, scheduling::idle}) {
        for (const int32_t threads : {1, 3}) {
            thread_pool pool(threads, policy);
            const auto thrown_by = [&](auto && body) -> std::string {
                try {
                    pool.lead(body);
                } catch (const std::runtime_error & error) {
                    return error.what();
                }
                return "nothing";
            };
            for (int time = 0; time < 5; time++) {
                CHECK_EQ(thrown_by([] { throw std::runtime_error("led"); }), "led");
                CHECK_EQ(thrown_by([&] { pool.run(5, [](int64_t task, int32_t) { task == 2 ? throw std::runtime_error("task") : void(); }); }), "task");
                CHECK_EQ(thrown_by([&] { pool.hand_back([] { throw std::runtime_error("handed"); }); }), "handed");
                CHECK_EQ(thrown_by([&] {
                    try {
                        pool.hand_back([] { throw std::runtime_error("handed"); });
                    } catch (const std::runtime_error &) {
                        pool.run(5, [](int64_t, int32_t) {});
                    }
                }), "nothing");
            }
        }
    }
}

TEST(cpu_names_its_instructions) {
    CHECK(static_cast<int32_t>(preferred_isa()) <= static_cast<int32_t>(best_isa()));
    CHECK_EQ(std::string(name(isa::portable)), "portable");
    CHECK_EQ(std::string(name(isa::avx512_bf16)), "avx512_bf16");
#if defined(__x86_64__) && defined(__GNUC__)
    // The compiler's runtime asks on its own.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    CHECK_EQ(best_isa() >= isa::avx2, avx2);
    CHECK_EQ(best_isa() >= isa::avx512, avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"));
#endif
}
