# Each level's file alone is compiled for its CPU; the rest of the module is baseline.
# OBJ_PREFIX is empty under PGXS; test/unit/Makefile puts its objects elsewhere.
# No contraction: kernels without reassociation give the same bits at every level.
ARCH := $(shell uname -m)
$(OBJ_PREFIX)src/simd/%.o: CFLAGS += -O3 -ffp-contract=off
$(OBJ_PREFIX)src/simd/k_scalar.o: CFLAGS += -fno-tree-vectorize
ifeq ($(ARCH),x86_64)
VK_AVX2_FLAGS := -mavx2 -mfma -mf16c
VK_AVX512_FLAGS := $(VK_AVX2_FLAGS) -mavx512f -mavx512bw -mavx512dq -mavx512vl
$(OBJ_PREFIX)src/simd/k_avx2.o: CFLAGS += $(VK_AVX2_FLAGS)
$(OBJ_PREFIX)src/simd/k_avx512.o: CFLAGS += $(VK_AVX512_FLAGS)
$(OBJ_PREFIX)src/simd/k_avx512vnni.o: CFLAGS += $(VK_AVX512_FLAGS) -mavx512vnni
endif
