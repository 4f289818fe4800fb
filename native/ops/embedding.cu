#include "ops/quant_blocks.cuh"

namespace continual {

namespace {

constexpr int block = 128;

// Tokens that a block compares with at once; a multiple of block, so that the block's own rows lie in one tile.
constexpr int tile = 512;

// Columns that a thread adds, and rows that it reads ahead of adding them.
constexpr int columns_of_thread = 4;
constexpr int ahead = 8;

// One block a row.
template <typename Format>
CN_DEVICE void forward(int64_t width, const int32_t * tokens, const void * table, int64_t row_stride, float * x) {
    const int64_t row = block_x();
    const uint8_t * const from = static_cast<const uint8_t *>(table) + tokens[row] * row_stride;
    float * const to = x + row * width;
    for (int64_t first = static_cast<int64_t>(thread_index()) * formats::piece; first < width; first += block * formats::piece) {
        formats::convert_piece<Format>(from, first, width, to);
    }
}

CN_DEVICE float read(const float * from, float) { return *from; }
CN_DEVICE float4 read(const float * from, const float4 &) { return load_from<float4>(from); }

CN_DEVICE void write(float * to, float x) { *to = x; }
CN_DEVICE void write(float * to, const float4 & x) { store_to(to, x); }

CN_DEVICE void add(float & sum, float x) { sum += x; }
CN_DEVICE void add(float4 & sum, const float4 & x) {
    sum.x += x.x;
    sum.y += x.y;
    sum.z += x.z;
    sum.w += x.w;
}

// A place in the order of embedding_sort: the token, and below it the row.
CN_DEVICE int32_t token_of(uint64_t sorted) { return static_cast<int32_t>(sorted >> 32); }
CN_DEVICE int32_t row_of(uint64_t sorted) { return static_cast<int32_t>(sorted); }

// The rows of dx at `place` and after it that have the token, to one place of its row of the table.
template <typename Numbers>
CN_DEVICE void add_rows(int64_t rows, int64_t width, int64_t place, int32_t token, const uint64_t * sorted, const float * dx, float * to) {
    Numbers sum = read(to, Numbers{});
    int count = ahead;
    for (; count == ahead; place += ahead) {
        // First all that tells where to read, then all that is read.
        int32_t from[ahead];
        count = 0;
        for (int i = 0; i < ahead; i++) {
            const bool is_one = place + i < rows;
            const uint64_t next = sorted[is_one ? place + i : rows - 1];
            from[i] = row_of(next);
            count += is_one && token_of(next) == token ? 1 : 0;
        }
        Numbers some[ahead];
        for (int i = 0; i < ahead; i++) {
            if (i < count) {
                some[i] = read(dx + from[i] * width, Numbers{});
            }
        }
        for (int i = 0; i < ahead; i++) {
            if (i < count) {
                add(sum, some[i]);
            }
        }
    }
    write(to, sum);
}

} // namespace

#define CN_FORWARD(format, name)                                                                                                                                        \
    CN_KERNEL(block, embedding_forward_##name, (int64_t width, const int32_t * tokens, const void * table, int64_t row_stride, float * x)) {                            \
        forward<formats::format>(width, tokens, table, row_stride, x);                                                                                                  \
    }
CN_EVERY_FORMAT(CN_FORWARD)

// The rows sorted by token, and by number where that is the same. Decision: each row counts those that come before it. That is rows² comparisons, but needs neither
// atomics nor passes over memory: by the instructions counted, with 65536 rows on an H100 under a millisecond, as long as it takes to add rows of 4096 columns.
CN_KERNEL(block, embedding_sort, (int64_t rows, const int32_t * tokens, uint64_t * sorted)) {
    const shared_array<int32_t> others(0);
    const int64_t row = static_cast<int64_t>(block_x()) * block + thread_index();
    const int32_t token = row < rows ? tokens[row] : 0;
    const int64_t own = static_cast<int64_t>(block_x()) * block / tile * tile;
    int32_t before = 0;
    for (int64_t first = 0; first < rows; first += tile) {
        block_barrier();
        for (int i = thread_index(); i < tile; i += block) {
            // Beyond the last: a token that comes before none.
            others[i] = first + i < rows ? tokens[first + i] : 0x7fffffff;
        }
        block_barrier();
        if (first == own) {
            const int place = static_cast<int>(row - first);
            for (int i = 0; i < tile; i++) {
                const int32_t limit = i < place ? token + 1 : token;
                before += others[i] < limit ? 1 : 0;
            }
        } else {
            // Of the earlier tiles, the same token comes before too.
            const int32_t limit = first < own ? token + 1 : token;
            for (int i = 0; i < tile; i += 4) {
                const quad four = others.load_as<quad>(i);
                before += static_cast<int32_t>(four.x) < limit ? 1 : 0;
                before += static_cast<int32_t>(four.y) < limit ? 1 : 0;
                before += static_cast<int32_t>(four.z) < limit ? 1 : 0;
                before += static_cast<int32_t>(four.w) < limit ? 1 : 0;
            }
        }
    }
    if (row < rows) {
        sorted[before] = static_cast<uint64_t>(token) << 32 | static_cast<uint64_t>(row);
    }
}

// One block for each place in the order and 512 columns; only the first place of each token has work, and adds for all of them.
CN_KERNEL(block, embedding_backward, (int64_t rows, int64_t width, const uint64_t * sorted, const float * dx, float * d_table)) {
    const int64_t place = block_x();
    const int32_t token = token_of(sorted[place]);
    if (place > 0 && token_of(sorted[place - 1]) == token) {
        return;
    }
    float * const to = d_table + token * width;
    const int64_t first = static_cast<int64_t>(block_y()) * block * columns_of_thread;
    if (width % columns_of_thread == 0 && formats::is_aligned(dx, 16) && formats::is_aligned(d_table, 16)) {
        const int64_t column = first + thread_index() * columns_of_thread;
        if (column < width) {
            add_rows<float4>(rows, width, place, token, sorted, dx + column, to + column);
        }
    } else {
        for (int i = 0; i < columns_of_thread; i++) {
            const int64_t column = first + i * block + thread_index();
            if (column < width) {
                add_rows<float>(rows, width, place, token, sorted, dx + column, to + column);
            }
        }
    }
}

} // namespace continual
