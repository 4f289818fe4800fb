// The whole model in double, written as plainly as it can be said: what the trainer's losses and gradients are held against.
#pragma once

#include "model/model.h"
#include "ops/quant.h"
#include "train/parameters.h"

#include <cmath>
#include <functional>
#include <vector>

namespace continual_tests {

using doubles = std::vector<double>;

struct oracle_batch {
    std::vector<int32_t> tokens, bounds, target;
    std::vector<float> weight;
    int32_t teacher_k = 0;
    std::vector<int32_t> teacher_token;
    std::vector<float> teacher_log_prob, teacher_weight;
    float anchor = 0;
    float dpo_beta = 0; // not 0: pairs
};

class model_oracle {
public:
    model_oracle(const continual::model & model, const continual::parameter_layout & layout) : model_(model), c_(model.config()), layout_(layout) {
        for (const continual::model_layer & layer : model.layers()) {
            for (int l = 0; l < continual::linears_of_layer; l++) {
                weights_.push_back(read(layer.weight[l]));
            }
        }
        embedding_ = read(model.embedding());
        output_ = read(model.output());
    }

    // Factor of element `index` of the input of a group's adapters; unset: no dropout.
    std::function<double(int layer, int group, int64_t index)> mask;

    // Logits of every row.
    doubles logits(const oracle_batch & batch, const doubles & p) const {
        const int64_t n = static_cast<int64_t>(batch.tokens.size());
        const int64_t d = c_.width;
        doubles x(static_cast<size_t>(n * d));
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < d; j++) {
                const int64_t at = batch.tokens[static_cast<size_t>(i)] * d + j;
                x[static_cast<size_t>(i * d + j)] = layout_.full() ? p[static_cast<size_t>(layout_.embedding() + at)] : embedding_[static_cast<size_t>(at)];
            }
        }
        for (int32_t l = 0; l < c_.layers; l++) {
            const continual::model_layer & layer = model_.layers()[static_cast<size_t>(l)];
            const continual::full_layer * full = layout_.full() ? &layout_.layer(l) : nullptr;
            const auto own = [&](const std::vector<float> & v, int64_t offset) {
                doubles values(v.begin(), v.end());
                if (full != nullptr) {
                    values.assign(p.begin() + offset, p.begin() + offset + static_cast<int64_t>(v.size()));
                }
                return values;
            };
            const doubles h = norm(x, n, d, own(layer.attn_norm, full ? full->attn_norm : 0));
            doubles q = linear(l, continual::linear_q, continual::group_attn, h, n, p);
            doubles k = linear(l, continual::linear_k, continual::group_attn, h, n, p);
            const doubles v = linear(l, continual::linear_v, continual::group_attn, h, n, p);
            if (!layer.q_norm.empty()) {
                q = norm(q, n * c_.heads, c_.head_width, own(layer.q_norm, full ? full->q_norm : 0));
                k = norm(k, n * c_.kv_heads, c_.head_width, own(layer.k_norm, full ? full->k_norm : 0));
            }
            rotate(q, batch, c_.heads);
            rotate(k, batch, c_.kv_heads);
            const doubles o = attend(batch, q, k, v);
            const doubles attn = linear(l, continual::linear_o, continual::group_o, o, n, p);
            for (size_t i = 0; i < x.size(); i++) {
                x[i] += attn[i];
            }
            const doubles f = norm(x, n, d, own(layer.ffn_norm, full ? full->ffn_norm : 0));
            doubles gate = linear(l, continual::linear_gate, continual::group_ffn, f, n, p);
            const doubles up = linear(l, continual::linear_up, continual::group_ffn, f, n, p);
            for (size_t i = 0; i < gate.size(); i++) {
                gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
            }
            const doubles down = linear(l, continual::linear_down, continual::group_down, gate, n, p);
            for (size_t i = 0; i < x.size(); i++) {
                x[i] += down[i];
            }
        }
        doubles out_norm(model_.output_norm().begin(), model_.output_norm().end());
        if (layout_.full()) {
            out_norm.assign(p.begin() + layout_.output_norm(), p.begin() + layout_.output_norm() + d);
        }
        const doubles h = norm(x, n, d, out_norm);
        const int64_t vocabulary = c_.vocabulary;
        doubles logits(static_cast<size_t>(n * vocabulary));
        for (int64_t i = 0; i < n; i++) {
            for (int64_t t = 0; t < vocabulary; t++) {
                double sum = 0;
                if (!model_.output_bias().empty()) {
                    sum = layout_.full() ? p[static_cast<size_t>(layout_.output_bias() + t)] : static_cast<double>(model_.output_bias()[static_cast<size_t>(t)]);
                }
                for (int64_t j = 0; j < d; j++) {
                    const double w = layout_.full() ? p[static_cast<size_t>(layout_.output() + t * d + j)] : output_[static_cast<size_t>(t * d + j)];
                    sum += h[static_cast<size_t>(i * d + j)] * w;
                }
                logits[static_cast<size_t>(i * vocabulary + t)] = sum;
            }
        }
        if (!layout_.full() && !layout_.output_group().members.empty()) {
            adapter(layout_.output_group(), 0, h, n, vocabulary, p, logits, [](int64_t) { return 1.0; });
        }
        return logits;
    }

    static double log_sum(const double * row, int64_t n) {
        double top = row[0];
        for (int64_t i = 1; i < n; i++) {
            top = std::max(top, row[i]);
        }
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += std::exp(row[i] - top);
        }
        return top + std::log(sum);
    }

    // The total that the trainer calls loss. reference: its parameters, for the anchor and DPO.
    double loss(const oracle_batch & batch, const doubles & p, const doubles & reference) const {
        const int64_t vocabulary = c_.vocabulary;
        const doubles z = logits(batch, p);
        doubles zr;
        if (batch.anchor > 0 || batch.dpo_beta > 0) {
            model_oracle plain(*this);
            plain.mask = nullptr;
            zr = plain.logits(batch, reference);
        }
        const auto n = static_cast<int64_t>(batch.tokens.size());
        if (batch.dpo_beta > 0) {
            double total = 0;
            for (size_t pair = 0; pair + 1 < batch.bounds.size(); pair += 2) {
                double margin = 0;
                for (size_t side = 0; side < 2; side++) {
                    for (int64_t i = batch.bounds[pair + side]; i < batch.bounds[pair + side + 1]; i++) {
                        const auto at = static_cast<size_t>(i);
                        if (batch.weight[at] == 0) {
                            continue;
                        }
                        const auto log_prob = [&](const doubles & from) {
                            const double * row = from.data() + i * vocabulary;
                            return row[batch.target[at]] - log_sum(row, vocabulary);
                        };
                        margin += (side == 0 ? 1 : -1) * static_cast<double>(batch.weight[at]) * (log_prob(z) - log_prob(zr));
                    }
                }
                total += std::log1p(std::exp(-static_cast<double>(batch.dpo_beta) * margin));
            }
            return total;
        }
        double total = 0;
        for (int64_t i = 0; i < n; i++) {
            const auto at = static_cast<size_t>(i);
            const double * row = z.data() + i * vocabulary;
            const double sum = log_sum(row, vocabulary);
            const double teacher_weight = batch.teacher_weight.empty() ? 0.0 : static_cast<double>(batch.teacher_weight[at]);
            if (batch.weight[at] != 0) {
                total -= static_cast<double>(batch.weight[at]) * (row[batch.target[at]] - sum);
            }
            if (teacher_weight != 0) {
                double mass = 0;
                for (int32_t k = 0; k < batch.teacher_k; k++) {
                    const size_t e = at * static_cast<size_t>(batch.teacher_k) + static_cast<size_t>(k);
                    mass += batch.teacher_token[e] < 0 ? 0 : std::exp(static_cast<double>(batch.teacher_log_prob[e]));
                }
                for (int32_t k = 0; k < batch.teacher_k && mass > 0; k++) {
                    const size_t e = at * static_cast<size_t>(batch.teacher_k) + static_cast<size_t>(k);
                    if (batch.teacher_token[e] >= 0) {
                        const double q = std::exp(static_cast<double>(batch.teacher_log_prob[e])) / mass;
                        total += teacher_weight * q * (std::log(q) - (row[batch.teacher_token[e]] - sum));
                    }
                }
            }
            if (batch.anchor > 0 && (batch.weight[at] != 0 || teacher_weight != 0)) {
                const double * ref = zr.data() + i * vocabulary;
                const double ref_sum = log_sum(ref, vocabulary);
                for (int64_t t = 0; t < vocabulary; t++) {
                    total += static_cast<double>(batch.anchor) * std::exp(ref[t] - ref_sum) * ((ref[t] - ref_sum) - (row[t] - sum));
                }
            }
        }
        return total;
    }

private:
    static doubles read(const continual::matrix & m) {
        std::vector<float> row(static_cast<size_t>(m.columns));
        doubles all;
        for (int64_t i = 0; i < m.rows; i++) {
            continual::dequantize(continual::isa::portable, m.type, static_cast<const char *>(m.data) + i * m.row_stride(), row.data(), m.columns);
            all.insert(all.end(), row.begin(), row.end());
        }
        return all;
    }

    doubles norm(const doubles & x, int64_t rows, int64_t width, const doubles & w) const {
        doubles y(x.size());
        for (int64_t i = 0; i < rows; i++) {
            double squares = 0;
            for (int64_t j = 0; j < width; j++) {
                squares += x[static_cast<size_t>(i * width + j)] * x[static_cast<size_t>(i * width + j)];
            }
            const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(c_.norm_eps));
            for (int64_t j = 0; j < width; j++) {
                y[static_cast<size_t>(i * width + j)] = x[static_cast<size_t>(i * width + j)] * inverse * w[static_cast<size_t>(j)];
            }
        }
        return y;
    }

    template <typename Mask>
    void adapter(const continual::lora_group & g, size_t member, const doubles & in, int64_t n, int64_t outputs, const doubles & p, doubles & y, Mask && factor) const {
        const int64_t rank = layout_.rank();
        const double * a = p.data() + g.a + static_cast<int64_t>(member) * rank * g.inputs;
        const double * b = p.data() + g.members[member].b;
        for (int64_t i = 0; i < n; i++) {
            for (int64_t r = 0; r < rank; r++) {
                double u = 0;
                for (int64_t j = 0; j < g.inputs; j++) {
                    u += in[static_cast<size_t>(i * g.inputs + j)] * factor(i * g.inputs + j) * a[r * g.inputs + j];
                }
                for (int64_t o = 0; o < outputs; o++) {
                    y[static_cast<size_t>(i * outputs + o)] += static_cast<double>(layout_.scale()) * u * b[r * outputs + o];
                }
            }
        }
    }

    doubles linear(int32_t layer, int l, int group, const doubles & in, int64_t n, const doubles & p) const {
        const int64_t inputs = model_.inputs(l);
        const int64_t outputs = model_.outputs(l);
        const doubles & w = weights_[static_cast<size_t>(layer * continual::linears_of_layer + l)];
        const std::vector<float> & bias = model_.layers()[static_cast<size_t>(layer)].bias[l];
        doubles y(static_cast<size_t>(n * outputs));
        for (int64_t i = 0; i < n; i++) {
            for (int64_t o = 0; o < outputs; o++) {
                double sum = 0;
                if (!bias.empty()) {
                    sum = layout_.full() ? p[static_cast<size_t>(layout_.layer(layer).bias[l] + o)] : static_cast<double>(bias[static_cast<size_t>(o)]);
                }
                const double * row = layout_.full() ? p.data() + layout_.layer(layer).weight[l] + o * inputs : w.data() + o * inputs;
                for (int64_t j = 0; j < inputs; j++) {
                    sum += in[static_cast<size_t>(i * inputs + j)] * row[j];
                }
                y[static_cast<size_t>(i * outputs + o)] = sum;
            }
        }
        if (!layout_.full()) {
            const continual::lora_group & g = layout_.group_of(layer, group);
            for (size_t m = 0; m < g.members.size(); m++) {
                if (g.members[m].linear == l) {
                    adapter(g, m, in, n, outputs, p, y, [&](int64_t index) { return mask ? mask(layer, group, index) : 1.0; });
                }
            }
        }
        return y;
    }

    void rotate(doubles & x, const oracle_batch & batch, int32_t heads) const {
        const continual::rope_config & r = c_.rope;
        const int64_t stride = static_cast<int64_t>(heads) * c_.head_width;
        for (size_t s = 0; s + 1 < batch.bounds.size(); s++) {
            for (int32_t i = batch.bounds[s]; i < batch.bounds[s + 1]; i++) {
                for (int32_t h = 0; h < heads; h++) {
                    for (int32_t pair = 0; pair < r.dimensions / 2; pair++) {
                        // Linear scaling and frequency factors only: YaRN has a test of its own.
                        double angle = (i - batch.bounds[s]) * std::pow(static_cast<double>(r.base), -2.0 * pair / r.dimensions);
                        angle = angle / (r.factors == nullptr ? 1.0 : static_cast<double>(r.factors[pair])) * static_cast<double>(r.scale);
                        const bool adjacent = r.style == continual::rope_style::adjacent;
                        double & a = x[static_cast<size_t>(i * stride + h * c_.head_width + (adjacent ? 2 * pair : pair))];
                        double & b = x[static_cast<size_t>(i * stride + h * c_.head_width + (adjacent ? 2 * pair + 1 : pair + r.dimensions / 2))];
                        const double turned = a * std::cos(angle) - b * std::sin(angle);
                        b = a * std::sin(angle) + b * std::cos(angle);
                        a = turned;
                    }
                }
            }
        }
    }

    doubles attend(const oracle_batch & batch, const doubles & q, const doubles & k, const doubles & v) const {
        const int64_t w = c_.head_width;
        const int64_t vw = c_.v_width;
        const int32_t per = c_.heads / c_.kv_heads;
        doubles o(batch.tokens.size() * static_cast<size_t>(c_.heads * vw));
        for (size_t s = 0; s + 1 < batch.bounds.size(); s++) {
            for (int32_t h = 0; h < c_.heads; h++) {
                for (int64_t i = batch.bounds[s]; i < batch.bounds[s + 1]; i++) {
                    doubles score;
                    for (int64_t j = batch.bounds[s]; j <= i; j++) {
                        double sum = 0;
                        for (int64_t e = 0; e < w; e++) {
                            sum += q[static_cast<size_t>((i * c_.heads + h) * w + e)] * k[static_cast<size_t>((j * c_.kv_heads + h / per) * w + e)];
                        }
                        score.push_back(sum * static_cast<double>(c_.attention_scale));
                    }
                    const double sum = log_sum(score.data(), static_cast<int64_t>(score.size()));
                    for (int64_t j = batch.bounds[s]; j <= i; j++) {
                        const double weight = std::exp(score[static_cast<size_t>(j - batch.bounds[s])] - sum);
                        for (int64_t e = 0; e < vw; e++) {
                            o[static_cast<size_t>((i * c_.heads + h) * vw + e)] += weight * v[static_cast<size_t>((j * c_.kv_heads + h / per) * vw + e)];
                        }
                    }
                }
            }
        }
        return o;
    }

    const continual::model & model_;
    const continual::model_config & c_;
    const continual::parameter_layout & layout_;
    std::vector<doubles> weights_;
    doubles embedding_, output_;
};

} // namespace continual_tests
