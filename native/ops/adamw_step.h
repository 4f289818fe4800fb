// What a step of AdamW is for each element.
#pragma once

namespace continual {

struct adamw_step {
    float gradient_scale;
    float beta1;
    float rest1; // 1 − beta1
    float beta2;
    float rest2;      // 1 − beta2
    float rate;       // learning rate / (1 − beta1^t)
    float root_scale; // 1 / sqrt(1 − beta2^t)
    float eps;
    float kept; // 1 − learning rate · weight decay
};

struct adamw_config;

adamw_step step_of(const adamw_config & config);

} // namespace continual
