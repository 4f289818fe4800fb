// A test is a function with a name; CHECK reports and goes on.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace continual_tests {

struct test_case {
    const char * name;
    void (*body)();
};

std::vector<test_case> & cases();
void report(const char * file, int line, const std::string & what);

struct registration {
    registration(const char * name, void (*body)()) { cases().push_back({name, body}); }
};

template <typename A, typename B>
void check_equal(const char * file, int line, const char * expression, const A & actual, const B & expected) {
    if (!(actual == expected)) {
        std::ostringstream text;
        text << expression << " is " << actual << ", expected " << expected;
        report(file, line, text.str());
    }
}

} // namespace continual_tests

#define TEST(name)                                                             \
    static void name();                                                        \
    static const continual_tests::registration name##_registration(#name, name); \
    static void name()

#define CHECK_EQ(actual, expected) continual_tests::check_equal(__FILE__, __LINE__, #actual, (actual), (expected))
#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            continual_tests::report(__FILE__, __LINE__, "not true: " #condition);           \
        }                                                                                   \
    } while (false)

// Ends the case as one that could not be tried here. ctest counts it as skipped.
#define SKIP(reason)                                    \
    do {                                                \
        std::fprintf(stderr, "skipped: %s\n", (reason)); \
        std::exit(77);                                  \
    } while (false)
