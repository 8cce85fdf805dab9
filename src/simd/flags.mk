# Each level's file alone is compiled for its CPU; the rest of the module is baseline.
ARCH := $(shell uname -m)
src/simd/%.o: CFLAGS += -O3
src/simd/k_scalar.o: CFLAGS += -fno-tree-vectorize
ifeq ($(ARCH),x86_64)
src/simd/k_avx2.o: CFLAGS += -mavx2 -mfma -mf16c
src/simd/k_avx512.o: CFLAGS += -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl
endif
