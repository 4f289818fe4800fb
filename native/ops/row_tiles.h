// How rows are dealt to the blocks of a kernel: a row has pieces, and a thread takes one of them. For kernels and for those who launch them.
#pragma once

#include <stdint.h>

namespace continual {

struct row_tiles {
    int32_t pieces; // of a row
    int32_t rows;   // of a block, whole ones
    int32_t parts;  // blocks of a row; 1 where a block has whole rows
};

// pieces: at least 1.
constexpr row_tiles tiles_of(int64_t pieces, int32_t threads) {
    const int32_t count = static_cast<int32_t>(pieces);
    return count < threads ? row_tiles{count, threads / count, 1} : row_tiles{count, 1, (count - 1) / threads + 1};
}

constexpr int64_t blocks_of(const row_tiles & tiles, int64_t rows) {
    return (rows + tiles.rows - 1) / tiles.rows * tiles.parts;
}

struct row_place {
    int64_t row;
    int32_t piece;
    bool inside; // false: nothing is this thread's
};

constexpr row_place place_of(const row_tiles & tiles, int64_t rows, int32_t block, int32_t threads, int32_t thread) {
    if (tiles.rows > 1) {
        const int32_t of_block = thread / tiles.pieces;
        const int64_t row = static_cast<int64_t>(block) * tiles.rows + of_block;
        return {row, thread - of_block * tiles.pieces, of_block < tiles.rows && row < rows};
    }
    const int32_t row = block / tiles.parts;
    const int32_t piece = (block - row * tiles.parts) * threads + thread;
    return {row, piece, piece < tiles.pieces};
}

// Whether 16 bytes at once can be read there, for what a kernel's pieces depend on.
inline bool is_aligned_to_16(const void * at) {
    return reinterpret_cast<uintptr_t>(at) % 16 == 0;
}

} // namespace continual
