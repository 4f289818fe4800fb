#include "train/files.h"
