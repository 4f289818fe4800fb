// Writes a small model with random weights, for the test of the sample:  write_model MODEL.gguf
#include "small_model.h"

#include <cstdio>

int main(int argc, char ** argv) {
    if (argc != 2) {
        return 2;
    }
    continual_tests::shape s;
    s.width = 64;
    s.feed_forward = 128;
    s.head_width = 16;
    s.vocabulary = 64;
    continual_tests::write_model(continual_tests::build(s, 1), argv[1]);
    return 0;
}
