#include "ops/gemm.h"

#include "ops/gemm_kernels.h"
#include "ops/quant.h"
#include "runtime/dispatch.h"

#include <algorithm>

namespace continual {

CN_DECLARE_TABLES(gemm_kernel_sets, gemm_table);

namespace {

// Units of k that a panel holds at a time: with 32 columns 32 KiB of the right side, which one pass over the rows keeps near, and a multiple of every
// quantized block.
constexpr int64_t block_units = 256;
// Columns that a task computes at most, all from one read of the left panels: the widest quantized block, because a block is unpacked whole.
constexpr int64_t task_columns = 256;
// Rows whose left panels and sums are kept at a time. The right side is unpacked once for that many.
constexpr int64_t pass_rows = 512;
// The widest and the highest tile of any kernel.
constexpr int64_t widest_tile = 32;
constexpr int64_t highest_tile = 16;
// Multiply-adds below which waking another thread costs more than it saves.
constexpr int64_t small_product = 1 << 18;

constexpr int64_t unit_bytes = 4;
constexpr int64_t right_bytes = block_units * task_columns * unit_bytes;
// Unpacked elements on their way into a panel: rows of one panel along k, or two rows of a task's columns.
constexpr int64_t unpacked_bytes = std::max(widest_tile * block_units * unit_bytes, 2 * task_columns * unit_bytes);

constexpr int64_t round_up(int64_t x, int64_t to) noexcept {
    return (x + to - 1) / to * to;
}

// Rows at once for a product of m: even passes of at most pass_rows and a bit.
constexpr int64_t rows_of_pass(int64_t m, int64_t tile) noexcept {
    const int64_t passes = (m + pass_rows - 1) / pass_rows;
    return passes <= 1 ? m : round_up((m + passes - 1) / passes, tile);
}

constexpr int64_t most_rows(int64_t m) noexcept {
    return round_up(std::min(m, pass_rows), highest_tile) + highest_tile;
}

constexpr int64_t left_bytes(int64_t m, int64_t k) noexcept {
    // Each term may end in half a pair.
    return round_up(most_rows(m) * (k + max_gemm_terms) * unit_bytes, 64);
}

constexpr int64_t panel_bytes = highest_tile * block_units * unit_bytes;

constexpr int64_t thread_bytes(int64_t m) noexcept {
    return right_bytes + unpacked_bytes + panel_bytes + most_rows(m) * task_columns * static_cast<int64_t>(sizeof(float));
}

struct product {
    isa level;
    precision how;
    const gemm_kernels * kernels;
    int64_t n;
    const gemm_term * terms;
    int32_t count;
    const gemm_out * out;
    uint32_t * left;
    char * threads;
    int64_t thread_stride;
    // Of the pass.
    int64_t first_row;
    int64_t rows;
    // The left panels are packed by the task that uses them, one at a time, because no other does.
    bool packs_left;

    int64_t block() const noexcept { return block_units * kernels->pair; }

    int64_t units(int64_t depth) const noexcept { return (depth + kernels->pair - 1) / kernels->pair; }

    // Calls visit(term, k, depth, units of left panels before this one per row) for each block of k, in order.
    template <typename Visit>
    void each_block(const Visit & visit) const {
        int64_t before = 0;
        for (int32_t t = 0; t < count; t++) {
            for (int64_t k = 0; k < terms[t].k; k += block()) {
                const int64_t depth = std::min(block(), terms[t].k - k);
                visit(terms[t], k, depth, before);
                before += units(depth);
            }
        }
    }

    // The left panels of a block of k start at this many units.
    uint32_t * left_panels(int64_t units_before) const noexcept { return left + units_before * round_up(rows, kernels->rows); }
};

// Rows [row, row + count) of the pass, count a multiple of the tile except at the end.
void pack_left(const product & p, int64_t row, int64_t count) {
    p.each_block([&](const gemm_term & term, int64_t k, int64_t depth, int64_t before) {
        p.kernels->pack_left(term.left, p.first_row + row, count, k, depth, p.left_panels(before) + row * p.units(depth));
    });
}

// Element (row, column) of a right side, where column is a multiple of its block.
const char * at(const gemm_right & right, int64_t row, int64_t column) noexcept {
    return static_cast<const char *>(right.data) + row * right.row_stride + column / block_elements(right.type) * block_bytes(right.type);
}

bool is_ready(const product & p, const gemm_right & right) noexcept {
    return right.type == (p.kernels->reads_bf16 ? tensor_type::bf16 : tensor_type::f32);
}

void unpack(const product & p, tensor_type type, const void * from, void * to, int64_t count) {
    if (p.kernels->reads_bf16) {
        dequantize(p.level, type, from, static_cast<bf16 *>(to), count);
    } else {
        dequantize(p.level, type, from, static_cast<float *>(to), count);
    }
}

// Rows of which little is read lie in pages of their own, where no hardware looks ahead.
constexpr int64_t rows_ahead = 8;

inline void ask_for([[maybe_unused]] const char * from, [[maybe_unused]] int64_t bytes) noexcept {
#if defined(__GNUC__)
    for (int64_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(from + i);
    }
#endif
}

// Columns [column, column + columns) of the product for [k, k + depth), as panels.
void pack_right(const product & p, const gemm_right & right, int64_t k, int64_t depth, int64_t column, int64_t columns, uint32_t * panels, char * unpacked) {
    const gemm_kernels & kernels = *p.kernels;
    const int64_t element = kernels.reads_bf16 ? static_cast<int64_t>(sizeof(bf16)) : static_cast<int64_t>(sizeof(float));
    const int64_t panel_stride = p.units(depth) * kernels.columns;
    const bool ready = is_ready(p, right);
    if (right.transposed) {
        for (int64_t c = 0; c < columns; c += kernels.columns) {
            const int64_t count = std::min<int64_t>(kernels.columns, columns - c);
            if (ready && right.row_stride % element == 0) {
                kernels.pack_rows(at(right, column + c, k), right.row_stride / element, count, depth, panels);
            } else {
                for (int64_t i = 0; i < count; i++) {
                    unpack(p, right.type, at(right, column + c + i, k), unpacked + i * depth * element, depth);
                }
                kernels.pack_rows(unpacked, depth, count, depth, panels);
            }
            panels += panel_stride;
        }
        return;
    }
    const int64_t segment = row_bytes(right.type, columns);
    for (int64_t r = 0; r < depth; r += kernels.pair) {
        const void * rows[2] = {};
        for (int64_t i = 0; i < std::min<int64_t>(kernels.pair, depth - r); i++) {
            const char * const from = at(right, k + r + i, column);
            if (r + i + rows_ahead < depth) {
                ask_for(from + rows_ahead * right.row_stride, segment);
            }
            if (ready) {
                rows[i] = from;
            } else {
                char * const to = unpacked + i * task_columns * element;
                unpack(p, right.type, from, to, columns);
                rows[i] = to;
            }
        }
        kernels.pack_unit(rows[0], rows[1], columns, panels + r / kernels.pair * kernels.columns, panel_stride);
    }
}

// The part [row, row + rows) × [column, column + columns) of the pass: every sum of an element is made here, one block of k after the other. After the last
// block each tile goes out at once, while the next one is computed, so that waiting for the memory of `out` is hidden.
void compute(const product & p, int64_t row, int64_t rows, int64_t column, int64_t columns, int32_t worker) {
    const gemm_kernels & kernels = *p.kernels;
    char * const own = p.threads + worker * p.thread_stride;
    uint32_t * const right = reinterpret_cast<uint32_t *>(own);
    char * const unpacked = own + right_bytes;
    uint32_t * const own_panel = reinterpret_cast<uint32_t *>(unpacked + unpacked_bytes);
    float * const sums = reinterpret_cast<float *>(unpacked + unpacked_bytes + panel_bytes);
    const int64_t stride = round_up(columns, kernels.columns);
    int64_t blocks = 0;
    p.each_block([&](const gemm_term &, int64_t, int64_t, int64_t) { blocks++; });
    if (blocks == 0) {
        std::fill_n(sums, rows * stride, 0.0f);
        kernels.finish(sums, stride, *p.out, p.first_row + row, rows, column, columns);
        return;
    }
    int64_t done = 0;
    p.each_block([&](const gemm_term & term, int64_t k, int64_t depth, int64_t before) {
        const bool replace = done == 0;
        const bool last = ++done == blocks;
        pack_right(p, term.right, k, depth, column, columns, right, unpacked);
        const int64_t units = p.units(depth);
        for (int64_t r = 0; r < rows; r += kernels.rows) {
            const int32_t tile_rows = static_cast<int32_t>(std::min<int64_t>(kernels.rows, rows - r));
            const uint32_t * panel = own_panel;
            if (p.packs_left) {
                kernels.pack_left(term.left, p.first_row + row + r, tile_rows, k, depth, own_panel);
            } else {
                panel = p.left_panels(before) + (row + r) * units;
            }
            for (int64_t c = 0; c < columns; c += kernels.columns) {
                const int32_t tile_columns = static_cast<int32_t>(std::min<int64_t>(kernels.columns, columns - c));
                // The left panels come from far, one after the other: the first tile of a row of tiles asks for the next panel.
                const uint32_t * const soon = c == 0 && !p.packs_left ? panel + tile_rows * units : panel;
                kernels.multiply(units, tile_rows, tile_columns, panel, right + c * units, soon, term.scale, replace, sums + r * stride + c, stride);
                if (last) {
                    kernels.finish(sums + r * stride + c, stride, *p.out, p.first_row + row + r, tile_rows, column + c, tile_columns);
                }
            }
        }
    });
}

// How a pass is cut into tasks: first `whole` parts of the columns with all rows, then the other parts of the columns in `row_parts` each. Only the cost
// depends on it: an element's sums are the same in any part.
struct cut {
    int64_t rows;
    int64_t columns;
    int64_t row_parts;
    int64_t column_parts;
    int64_t whole;

    int64_t tasks() const noexcept { return whole + (column_parts - whole) * row_parts; }
};

cut cut_pass(product & p, int32_t threads) {
    int64_t grain = p.kernels->columns;
    for (int32_t t = 0; t < p.count; t++) {
        if (!p.terms[t].right.transposed) {
            grain = std::max(grain, block_elements(p.terms[t].right.type));
        }
    }
    cut c{p.rows, task_columns, 1, 0, 0};
    const auto parts = [&] { return (p.n + c.columns - 1) / c.columns; };
    const int64_t wanted = threads == 1 ? 1 : 6 * threads;
    while (parts() < wanted && c.columns / 2 >= grain) {
        c.columns /= 2;
    }
    c.column_parts = parts();
    // Each part of the rows unpacks the right side again: only where threads would have nothing to do or wait long for the last.
    const int64_t tiles = (p.rows + p.kernels->rows - 1) / p.kernels->rows;
    if (c.column_parts >= 4 * threads) {
        c.whole = c.column_parts / threads * threads;
        c.row_parts = std::min<int64_t>(threads, tiles);
    } else {
        while (threads > 1 && c.column_parts * c.row_parts < 2 * threads && tiles / (c.row_parts + 1) >= 4) {
            c.row_parts++;
        }
    }
    c.rows = (tiles + c.row_parts - 1) / c.row_parts * p.kernels->rows;
    c.row_parts = (p.rows + c.rows - 1) / c.rows;
    p.packs_left = c.column_parts == 1;
    return c;
}

void compute_task(const product & p, const cut & c, int64_t task, int32_t worker) {
    int64_t row = 0;
    int64_t rows = p.rows;
    int64_t column = task;
    if (task >= c.whole) {
        row = (task - c.whole) % c.row_parts * c.rows;
        rows = std::min(c.rows, p.rows - row);
        column = c.whole + (task - c.whole) / c.row_parts;
    }
    column *= c.columns;
    compute(p, row, rows, column, std::min(c.columns, p.n - column), worker);
}

product prepare(isa level, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, void * scratch) noexcept {
    int64_t k = 0;
    for (int32_t t = 0; t < count; t++) {
        k += terms[t].k;
    }
    product p{};
    p.level = level;
    p.how = how;
    p.kernels = &CN_TABLE(level, gemm_table).of[static_cast<int32_t>(how)];
    p.n = n;
    p.terms = terms;
    p.count = count;
    p.out = &out;
    p.left = static_cast<uint32_t *>(scratch);
    p.threads = static_cast<char *>(scratch) + left_bytes(m, k);
    p.thread_stride = thread_bytes(m);
    return p;
}

template <typename Run>
void run(product & p, int64_t m, int32_t threads, const Run & run_tasks) {
    const int64_t step = rows_of_pass(m, p.kernels->rows);
    for (p.first_row = 0; p.first_row < m; p.first_row += step) {
        p.rows = std::min(step, m - p.first_row);
        const cut c = cut_pass(p, threads);
        if (!p.packs_left) {
            const int64_t tiles = (p.rows + p.kernels->rows - 1) / p.kernels->rows;
            run_tasks(tiles, [&](int64_t tile, int32_t) {
                const int64_t row = tile * p.kernels->rows;
                pack_left(p, row, std::min<int64_t>(p.kernels->rows, p.rows - row));
            });
        }
        run_tasks(c.tasks(), [&](int64_t task, int32_t worker) { compute_task(p, c, task, worker); });
    }
}

void run_serial(product & p, int64_t m) {
    run(p, m, 1, [](int64_t tasks, const auto & body) {
        for (int64_t task = 0; task < tasks; task++) {
            body(task, 0);
        }
    });
}

} // namespace

int64_t gemm_scratch_bytes(int32_t threads, int64_t m, int64_t k) noexcept {
    return left_bytes(m, k) + threads * thread_bytes(m);
}

void gemm(const cpu_context & cpu, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, void * scratch) {
    if (m <= 0 || n <= 0) {
        return;
    }
    product p = prepare(cpu.level, how, m, n, terms, count, out, scratch);
    int64_t k = 1;
    for (int32_t t = 0; t < count; t++) {
        k += terms[t].k;
    }
    const int32_t threads = cpu.pool.threads();
    if (m * n * k < small_product || threads == 1) {
        cpu.pool.run(1, [&](int64_t, int32_t) { run_serial(p, m); });
        return;
    }
    run(p, m, threads, [&](int64_t tasks, const auto & body) { cpu.pool.run(tasks, body); });
}

void gemm_serial(isa level, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, void * scratch) {
    if (m <= 0 || n <= 0) {
        return;
    }
    product p = prepare(level, how, m, n, terms, count, out, scratch);
    run_serial(p, m);
}

} // namespace continual
