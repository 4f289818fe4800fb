// A trainer's state and results as files.
#pragma once

#include "train/trainer.h"

#include <string>
#include <vector>

namespace continual {

void save_parameters(trainer & trainer, const std::string & path);
void load_parameters(trainer & trainer, const std::string & path);

void save_checkpoint(trainer & trainer, const std::string & path, const void * data, int64_t size);
std::vector<char> load_checkpoint(trainer & trainer, const std::string & path);

// By its name: a path that ends in .gguf is llama.cpp's form, any other a folder in PEFT's.
void export_adapter(trainer & trainer, const std::string & path, const std::string & base_model);
void import_adapter(trainer & trainer, const std::string & path);

// Full-parameter mode: the file that the model came from, with the trained weights.
void export_model(trainer & trainer, const std::string & path, int32_t type);

} // namespace continual
