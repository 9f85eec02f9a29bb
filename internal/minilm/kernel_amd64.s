#include "textflag.h"

// The kernels for AVX2. What they compute is told in kernel.go; only how is told here. Products and sums are separate
// instructions, never fused, so that results are those of the plain form to the bit.

// Sums the lanes of register y into the lowest of x, its lower half, by way of t, in the order of func total.
#define TOTAL(y, x, t) \
	VEXTRACTF128 $1, y, t; \
	VADDPS       t, x, x;  \
	VMOVHLPS     x, x, t;  \
	VADDPS       t, x, x;  \
	VMOVSHDUP    x, t;     \
	VADDSS       t, x, x

// Widens the weights of a pair of inputs: Y12 outputs 0 to 7, Y13 8 to 15, two 16-bit numbers each.
#define WEIGHTS(w) \
	VPMOVSXBW w(R8), Y12;    \
	VPMOVSXBW w+16(R8), Y13

// Adds the products of a row's pair of inputs, which is broadcast, to its 16 sums.
#define PAIR(x, low, high) \
	VPBROADCASTD x, Y14;         \
	VPMADDWD     Y12, Y14, Y15;  \
	VPADDD       Y15, low, low;  \
	VPMADDWD     Y13, Y14, Y14;  \
	VPADDD       Y14, high, high

// The rows are at SI, SI+R9, SI+2·R9, DI (which is SI+3·R9), DI+R9, DI+2·R9.
#define PAIR0(x) PAIR(x(SI), Y0, Y1)
#define PAIR1(x) PAIR(x(SI)(R9*1), Y2, Y3)
#define PAIR2(x) PAIR(x(SI)(R9*2), Y4, Y5)
#define PAIR3(x) PAIR(x(DI), Y6, Y7)
#define PAIR4(x) PAIR(x(DI)(R9*1), Y8, Y9)
#define PAIR5(x) PAIR(x(DI)(R9*2), Y10, Y11)

// Goes on by two pairs, and back to loop unless all are done.
#define NEXT(loop) \
	ADDQ $64, R8; \
	ADDQ $8, SI;  \
	ADDQ $8, DI;  \
	SUBQ $4, CX;  \
	JNZ  loop

// Scales a row's sums, adds the bias, writes them, and ends if that was the last row.
#define STORE(low, high) \
	VBROADCASTSS (R10), Y14;       \
	VMULPS       (R11), Y14, Y15;  \
	VCVTDQ2PS    low, low;         \
	VMULPS       Y15, low, low;    \
	VADDPS       (R12), low, low;  \
	VMOVUPS      low, (DX);        \
	VMULPS       32(R11), Y14, Y15; \
	VCVTDQ2PS    high, high;       \
	VMULPS       Y15, high, high;  \
	VADDPS       32(R12), high, high; \
	VMOVUPS      high, 32(DX);     \
	DECQ         BX;               \
	JZ           end;              \
	ADDQ         $4, R10;          \
	ADDQ         R13, DX

// func tileAVX2(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32)
TEXT ·tileAVX2(SB), NOSPLIT, $0-160
	MOVQ out_base+0(FP), DX
	MOVQ stride+24(FP), R13
	SHLQ $2, R13
	MOVQ x_base+32(FP), SI
	MOVQ in+56(FP), CX
	LEAQ (CX)(CX*1), R9
	LEAQ (SI)(R9*2), DI
	ADDQ R9, DI
	MOVQ xScale_base+64(FP), R10
	MOVQ xScale_len+72(FP), BX
	MOVQ w_base+88(FP), R8
	MOVQ scale_base+112(FP), R11
	MOVQ bias_base+136(FP), R12
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	VPXOR Y8, Y8, Y8
	VPXOR Y9, Y9, Y9
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11
	CMPQ BX, $5
	JEQ  rows5
	JGT  rows6
	CMPQ BX, $3
	JEQ  rows3
	JGT  rows4
	CMPQ BX, $2
	JEQ  rows2

rows1:
	WEIGHTS(0)
	PAIR0(0)
	WEIGHTS(32)
	PAIR0(4)
	NEXT(rows1)
	JMP store

rows2:
	WEIGHTS(0)
	PAIR0(0)
	PAIR1(0)
	WEIGHTS(32)
	PAIR0(4)
	PAIR1(4)
	NEXT(rows2)
	JMP store

rows3:
	WEIGHTS(0)
	PAIR0(0)
	PAIR1(0)
	PAIR2(0)
	WEIGHTS(32)
	PAIR0(4)
	PAIR1(4)
	PAIR2(4)
	NEXT(rows3)
	JMP store

rows4:
	WEIGHTS(0)
	PAIR0(0)
	PAIR1(0)
	PAIR2(0)
	PAIR3(0)
	WEIGHTS(32)
	PAIR0(4)
	PAIR1(4)
	PAIR2(4)
	PAIR3(4)
	NEXT(rows4)
	JMP store

rows5:
	WEIGHTS(0)
	PAIR0(0)
	PAIR1(0)
	PAIR2(0)
	PAIR3(0)
	PAIR4(0)
	WEIGHTS(32)
	PAIR0(4)
	PAIR1(4)
	PAIR2(4)
	PAIR3(4)
	PAIR4(4)
	NEXT(rows5)
	JMP store

rows6:
	WEIGHTS(0)
	PAIR0(0)
	PAIR1(0)
	PAIR2(0)
	PAIR3(0)
	PAIR4(0)
	PAIR5(0)
	WEIGHTS(32)
	PAIR0(4)
	PAIR1(4)
	PAIR2(4)
	PAIR3(4)
	PAIR4(4)
	PAIR5(4)
	NEXT(rows6)

store:
	STORE(Y0, Y1)
	STORE(Y2, Y3)
	STORE(Y4, Y5)
	STORE(Y6, Y7)
	STORE(Y8, Y9)
	STORE(Y10, Y11)

end:
	VZEROUPPER
	RET

// func greatestAVX2(x []float32) float32
TEXT ·greatestAVX2(SB), NOSPLIT, $0-28
	MOVQ     x_base+0(FP), SI
	MOVQ     x_len+8(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD   $1, Y15, Y15      // all bits but the sign
	VPXOR    Y0, Y0, Y0
	VPXOR    Y1, Y1, Y1

greatest:
	VANDPS (SI), Y15, Y2
	VANDPS 32(SI), Y15, Y3
	VMAXPS Y2, Y0, Y0
	VMAXPS Y3, Y1, Y1
	ADDQ   $64, SI
	SUBQ   $16, CX
	JNZ    greatest

	VMAXPS       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS       X1, X0, X0
	VMOVHLPS     X0, X0, X1
	VMAXPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VMAXSS       X1, X0, X0
	VMOVSS       X0, ret+24(FP)
	VZEROUPPER
	RET

// func roundAVX2(q []int16, x []float32, factor float32)
TEXT ·roundAVX2(SB), NOSPLIT, $0-52
	MOVQ         q_base+0(FP), DI
	MOVQ         x_base+24(FP), SI
	MOVQ         x_len+32(FP), CX
	VBROADCASTSS factor+48(FP), Y15

round:
	VMULPS    (SI), Y15, Y0
	VMULPS    32(SI), Y15, Y1
	VCVTPS2DQ Y0, Y0          // the processor rounds halves to even
	VCVTPS2DQ Y1, Y1
	VPACKSSDW Y1, Y0, Y0      // quarters 0 2 1 3
	VPERMQ    $0xd8, Y0, Y0
	VMOVDQU   Y0, (DI)
	ADDQ      $64, SI
	ADDQ      $32, DI
	SUBQ      $16, CX
	JNZ       round

	VZEROUPPER
	RET

DATA gelu<>+0(SB)/4, $0.3989417552947998
DATA gelu<>+4(SB)/4, $0.05831009894609451
DATA gelu<>+8(SB)/4, $0.006161565892398357
DATA gelu<>+12(SB)/4, $0.00040985611849464476
DATA gelu<>+16(SB)/4, $7.28611166778137e-06
DATA gelu<>+20(SB)/4, $0.3128195106983185
DATA gelu<>+24(SB)/4, $0.04259835556149483
DATA gelu<>+28(SB)/4, $0.0032682367600500584
DATA gelu<>+32(SB)/4, $0.00014657090650871396
DATA gelu<>+36(SB)/4, $5.952846322543337e-07
DATA gelu<>+40(SB)/4, $1.0
DATA gelu<>+44(SB)/4, $5.6
DATA gelu<>+48(SB)/4, $-5.6
DATA gelu<>+52(SB)/4, $0.5
GLOBL gelu<>(SB), RODATA|NOPTR, $56

// func geluAVX2(x []float32)
TEXT ·geluAVX2(SB), NOSPLIT, $0-24
	MOVQ         x_base+0(FP), SI
	MOVQ         x_len+8(FP), CX
	VBROADCASTSS gelu<>+0(SB), Y4   // P, from its constant on
	VBROADCASTSS gelu<>+4(SB), Y5
	VBROADCASTSS gelu<>+8(SB), Y6
	VBROADCASTSS gelu<>+12(SB), Y7
	VBROADCASTSS gelu<>+16(SB), Y8
	VBROADCASTSS gelu<>+20(SB), Y9  // Q, from x² on
	VBROADCASTSS gelu<>+24(SB), Y10
	VBROADCASTSS gelu<>+28(SB), Y11
	VBROADCASTSS gelu<>+32(SB), Y12
	VBROADCASTSS gelu<>+36(SB), Y13
	VBROADCASTSS gelu<>+40(SB), Y14
	VBROADCASTSS gelu<>+44(SB), Y15

gelu:
	VMINPS       (SI), Y15, Y0
	VBROADCASTSS gelu<>+48(SB), Y3
	VMAXPS       Y3, Y0, Y0
	VMULPS       Y0, Y0, Y1
	VMULPS       Y8, Y1, Y2
	VMULPS       Y13, Y1, Y3
	VADDPS       Y7, Y2, Y2
	VADDPS       Y12, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y6, Y2, Y2
	VADDPS       Y11, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y5, Y2, Y2
	VADDPS       Y10, Y3, Y3
	VMULPS       Y1, Y2, Y2
	VMULPS       Y1, Y3, Y3
	VADDPS       Y4, Y2, Y2
	VADDPS       Y9, Y3, Y3
	VMULPS       Y1, Y3, Y3
	VADDPS       Y14, Y3, Y3
	VDIVPS       Y3, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VBROADCASTSS gelu<>+52(SB), Y3
	VADDPS       Y3, Y2, Y2
	VMULPS       (SI), Y2, Y2
	VMOVUPS      Y2, (SI)
	ADDQ         $32, SI
	SUBQ         $8, CX
	JNZ          gelu

	VZEROUPPER
	RET

// Adds the products of a row's number, which is broadcast, and sixteen of b, which are in Y8 and Y9, to its sums.
#define PRODUCT(a, low, high) \
	VBROADCASTSS a, Y10;          \
	VMULPS       Y8, Y10, Y11;    \
	VADDPS       Y11, low, low;   \
	VMULPS       Y9, Y10, Y10;    \
	VADDPS       Y10, high, high

// Writes a row's sums and goes to the next row.
#define WRITE(low, high) \
	VMOVUPS low, (DX);    \
	VMOVUPS high, 32(DX); \
	ADDQ    R8, DX

// func multiplyAVX2(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int)
//
// Sixteen columns at a time; of these, four rows at a time, then single ones.
TEXT ·multiplyAVX2(SB), NOSPLIT, $0-120
	MOVQ out_base+0(FP), DI
	MOVQ outStride+24(FP), R8
	SHLQ $2, R8
	MOVQ aStride+56(FP), R9
	SHLQ $2, R9
	LEAQ (R9)(R9*2), R10
	MOVQ b_base+64(FP), BX
	MOVQ bStride+88(FP), R11
	SHLQ $2, R11
	MOVQ columns+112(FP), R12

columns:
	MOVQ a_base+32(FP), SI
	MOVQ DI, DX
	MOVQ rows+96(FP), R13

rows:
	MOVQ   BX, AX
	MOVQ   SI, R15
	MOVQ   inner+104(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	CMPQ   R13, $4
	JLT    single
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7

four:
	VMOVUPS (AX), Y8
	VMOVUPS 32(AX), Y9
	PRODUCT((R15), Y0, Y1)
	PRODUCT((R15)(R9*1), Y2, Y3)
	PRODUCT((R15)(R9*2), Y4, Y5)
	PRODUCT((R15)(R10*1), Y6, Y7)
	ADDQ    R11, AX
	ADDQ    $4, R15
	DECQ    CX
	JNZ     four

	WRITE(Y0, Y1)
	WRITE(Y2, Y3)
	WRITE(Y4, Y5)
	WRITE(Y6, Y7)
	LEAQ (SI)(R9*4), SI
	SUBQ $4, R13
	JNZ  rows
	JMP  next

single:
	VMOVUPS (AX), Y8
	VMOVUPS 32(AX), Y9
	PRODUCT((R15), Y0, Y1)
	ADDQ    R11, AX
	ADDQ    $4, R15
	DECQ    CX
	JNZ     single

	WRITE(Y0, Y1)
	ADDQ R9, SI
	DECQ R13
	JNZ  rows

next:
	ADDQ $64, DI
	ADDQ $64, BX
	SUBQ $16, R12
	JNZ  columns
	VZEROUPPER
	RET

DATA exp<>+0(SB)/4, $-87.0
DATA exp<>+4(SB)/4, $1.44269504088896340735992468100189214   // log2 e
DATA exp<>+8(SB)/4, $12582912.0                              // roundToEven
DATA exp<>+12(SB)/4, $0.693359375                            // ln2Upper
DATA exp<>+16(SB)/4, $-0.000212194440054690583               // ln2Lower
DATA exp<>+20(SB)/4, $0.00138888888888888889                 // 1/720
DATA exp<>+24(SB)/4, $0.00833333333333333333                 // 1/120
DATA exp<>+28(SB)/4, $0.04166666666666666667                 // 1/24
DATA exp<>+32(SB)/4, $0.16666666666666666667                 // 1/6
DATA exp<>+36(SB)/4, $0.5
DATA exp<>+40(SB)/4, $1.0
DATA exp<>+44(SB)/4, $127
GLOBL exp<>(SB), RODATA|NOPTR, $48

// func softmaxAVX2(x []float32)
TEXT ·softmaxAVX2(SB), NOSPLIT, $0-24
	MOVQ         x_base+0(FP), SI
	MOVQ         x_len+8(FP), CX
	MOVQ         SI, DI
	MOVQ         CX, DX
	VMOVUPS      (SI), Y15

max:
	VMAXPS (DI), Y15, Y15
	ADDQ   $32, DI
	SUBQ   $8, DX
	JNZ    max

	VEXTRACTF128 $1, Y15, X0
	VMAXPS       X0, X15, X15
	VMOVHLPS     X15, X15, X0
	VMAXPS       X0, X15, X15
	VMOVSHDUP    X15, X0
	VMAXSS       X0, X15, X15
	VBROADCASTSS X15, Y15
	VBROADCASTSS exp<>+0(SB), Y14
	VBROADCASTSS exp<>+4(SB), Y13
	VBROADCASTSS exp<>+8(SB), Y12
	VBROADCASTSS exp<>+12(SB), Y11
	VBROADCASTSS exp<>+16(SB), Y10
	VBROADCASTSS exp<>+24(SB), Y9
	VBROADCASTSS exp<>+28(SB), Y8
	VBROADCASTSS exp<>+32(SB), Y7
	VBROADCASTSS exp<>+36(SB), Y6
	VBROADCASTSS exp<>+40(SB), Y5
	VPBROADCASTD exp<>+44(SB), Y4
	VXORPS       Y3, Y3, Y3           // the sum
	MOVQ         SI, DI
	MOVQ         CX, DX

exp:
	VMOVUPS      (DI), Y0
	VSUBPS       Y15, Y0, Y0
	VMAXPS       Y14, Y0, Y0
	VMULPS       Y13, Y0, Y1
	VADDPS       Y12, Y1, Y1
	VSUBPS       Y12, Y1, Y1          // n
	VMULPS       Y11, Y1, Y2
	VSUBPS       Y2, Y0, Y0
	VMULPS       Y10, Y1, Y2
	VSUBPS       Y2, Y0, Y0           // r
	VBROADCASTSS exp<>+20(SB), Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y9, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y8, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y7, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y6, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y5, Y2, Y2
	VMULPS       Y0, Y2, Y2
	VADDPS       Y5, Y2, Y2
	VCVTPS2DQ    Y1, Y1
	VPADDD       Y4, Y1, Y1
	VPSLLD       $23, Y1, Y1          // 2ⁿ
	VMULPS       Y1, Y2, Y2
	VMOVUPS      Y2, (DI)
	VADDPS       Y2, Y3, Y3
	ADDQ         $32, DI
	SUBQ         $8, DX
	JNZ          exp

	TOTAL(Y3, X3, X0)
	VDIVSS       X3, X5, X3
	VBROADCASTSS X3, Y3

share:
	VMULPS  (SI), Y3, Y0
	VMOVUPS Y0, (SI)
	ADDQ    $32, SI
	SUBQ    $8, CX
	JNZ     share

	VZEROUPPER
	RET

DATA epsilon<>+0(SB)/4, $1e-12
GLOBL epsilon<>(SB), RODATA|NOPTR, $4

// func normaliseAVX2(x, y, gamma, beta []float32, part float32)
TEXT ·normaliseAVX2(SB), NOSPLIT, $0-100
	MOVQ   x_base+0(FP), SI
	MOVQ   x_len+8(FP), CX
	MOVQ   y_base+24(FP), DI
	MOVQ   gamma_base+48(FP), R8
	MOVQ   beta_base+72(FP), R9
	VMOVSS part+96(FP), X15
	SHLQ   $2, CX
	VXORPS Y0, Y0, Y0
	XORQ   AX, AX

add:
	VMOVUPS (SI)(AX*1), Y1
	VADDPS  (DI)(AX*1), Y1, Y1
	VMOVUPS Y1, (SI)(AX*1)
	VADDPS  Y1, Y0, Y0
	ADDQ    $32, AX
	CMPQ    AX, CX
	JLT     add

	TOTAL(Y0, X0, X1)
	VMULSS       X15, X0, X0
	VBROADCASTSS X0, Y14      // the mean
	VXORPS       Y0, Y0, Y0
	XORQ         AX, AX

square:
	VMOVUPS (SI)(AX*1), Y1
	VSUBPS  Y14, Y1, Y1
	VMULPS  Y1, Y1, Y1
	VADDPS  Y1, Y0, Y0
	ADDQ    $32, AX
	CMPQ    AX, CX
	JLT     square

	TOTAL(Y0, X0, X1)
	VMULSS       X15, X0, X0
	VADDSS       epsilon<>(SB), X0, X0
	VSQRTSS      X0, X0, X0
	VMOVSS       exp<>+40(SB), X1
	VDIVSS       X0, X1, X0
	VBROADCASTSS X0, Y13
	XORQ         AX, AX

scale:
	VMOVUPS (SI)(AX*1), Y1
	VSUBPS  Y14, Y1, Y1
	VMULPS  Y13, Y1, Y1
	VMULPS  (R8)(AX*1), Y1, Y1
	VADDPS  (R9)(AX*1), Y1, Y1
	VMOVUPS Y1, (SI)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, CX
	JLT     scale

	VZEROUPPER
	RET
