#include "harness.h"

#include <cstdio>
#include <cstring>

namespace continual_tests {

std::vector<test_case> & cases() {
    static std::vector<test_case> all;
    return all;
}

int failures = 0;

void report(const char * file, int line, const std::string & what) {
    failures++;
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

} // namespace continual_tests

// native_tests            runs all
// native_tests NAME       runs one; 2 when there is none of that name
int main(int argc, char ** argv) {
    int run = 0;
    for (const auto & test : continual_tests::cases()) {
        if (argc > 1 && std::strcmp(argv[1], test.name) != 0) {
            continue;
        }
        run++;
        test.body();
    }
    if (run == 0) {
        std::fprintf(stderr, "no such test\n");
        return 2;
    }
    return continual_tests::failures == 0 ? 0 : 1;
}
