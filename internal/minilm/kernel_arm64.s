#include "textflag.h"

// The kernels for NEON. What they compute is told in kernel.go; only how is told here. Products and sums are separate
// instructions, never fused, so that results are those of the plain form to the bit.
//
// Go's assembler lacks most vector arithmetic, so instructions are put together here. Operands are numbers of vector
// registers, in the order of ARM's manual: the result first. S4 is four float32.

#define FADD(d, n, m)     WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d))
#define FMUL(d, n, m)     WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d))
#define FDIV(d, n, m)     WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d))
#define FMAX(d, n, m)     WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d))
#define FMIN(d, n, m)     WORD $(0x4ea0f400 | (m)<<16 | (n)<<5 | (d))
#define FABS(d, n)        WORD $(0x4ea0f800 | (n)<<5 | (d))
#define FNEG(d, n)        WORD $(0x6ea0f800 | (n)<<5 | (d))
#define FMAXV(d, n)       WORD $(0x6e30f800 | (n)<<5 | (d))           // of all four
#define SCVTF(d, n)       WORD $(0x4e21d800 | (n)<<5 | (d))           // int32 to float32
#define FCVTNS(d, n)      WORD $(0x4e21a800 | (n)<<5 | (d))           // float32 to int32, halves to even
#define SQXTN(d, n)       WORD $(0x0e614800 | (n)<<5 | (d))           // four int32 to int16, lower half
#define SQXTN2(d, n)      WORD $(0x4e614800 | (n)<<5 | (d))           // upper half
#define SXTL(d, n)        WORD $(0x0f08a400 | (n)<<5 | (d))           // eight int8 to int16, of the lower half
#define SXTL2(d, n)       WORD $(0x4f08a400 | (n)<<5 | (d))           // of the upper half
#define SMLAL(d, n, m, i) WORD $(0x0f402000 | (i)<<20 | (m)<<16 | (n)<<5 | (d))  // d += n · number i of m; 4 int16, lower half
#define SMLAL2(d, n, m, i) WORD $(0x4f402000 | (i)<<20 | (m)<<16 | (n)<<5 | (d)) // upper half

// Widens the weights of two inputs: those of the first to V2 (outputs 0 to 7) and V3, of the second to V4 and V5.
#define WEIGHTS \
	VLD2.P 32(R8), [V0.B16, V1.B16]; \
	SXTL(2, 0);  \
	SXTL2(3, 0); \
	SXTL(4, 1);  \
	SXTL2(5, 1)

// Adds the products of inputs i and j of V6 to a row's 16 sums, which are in four registers from d on.
#define PRODUCTS(d, i, j) \
	SMLAL(d, 2, 6, i);      \
	SMLAL2((d+1), 2, 6, i); \
	SMLAL((d+2), 3, 6, i);  \
	SMLAL2((d+3), 3, 6, i); \
	SMLAL(d, 4, 6, j);      \
	SMLAL2((d+1), 4, 6, j); \
	SMLAL((d+2), 5, 6, j);  \
	SMLAL2((d+3), 5, 6, j)

// Inputs i and j of the rows.
#define ROW0(i, j) FMOVD (R0), F6; PRODUCTS(8, i, j)
#define ROW1(i, j) FMOVD (R1), F6; PRODUCTS(12, i, j)
#define ROW2(i, j) FMOVD (R2), F6; PRODUCTS(16, i, j)
#define ROW3(i, j) FMOVD (R3), F6; PRODUCTS(20, i, j)
#define ROW4(i, j) FMOVD (R4), F6; PRODUCTS(24, i, j)
#define ROW5(i, j) FMOVD (R5), F6; PRODUCTS(28, i, j)

// Goes on by four inputs, and back to loop unless all are done.
#define NEXT(loop) \
	ADD  $8, R0;      \
	ADD  $8, R1;      \
	ADD  $8, R2;      \
	ADD  $8, R3;      \
	ADD  $8, R4;      \
	ADD  $8, R5;      \
	SUBS $4, R7;      \
	BNE  loop

// Scales the sums from a (a, b, c, d) on, adds the bias, writes them, and ends if that was the last row.
#define STORE(a, A, B, C, D) \
	VLD1    (R11), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	VLD1R.P 4(R10), [V6.S4]; \
	FMUL(0, 0, 6); \
	FMUL(1, 1, 6); \
	FMUL(2, 2, 6); \
	FMUL(3, 3, 6); \
	SCVTF(a, a);             \
	SCVTF((a+1), (a+1));     \
	SCVTF((a+2), (a+2));     \
	SCVTF((a+3), (a+3));     \
	FMUL(a, a, 0);           \
	FMUL((a+1), (a+1), 1);   \
	FMUL((a+2), (a+2), 2);   \
	FMUL((a+3), (a+3), 3);   \
	VLD1    (R12), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	FADD(a, a, 0);           \
	FADD((a+1), (a+1), 1);   \
	FADD((a+2), (a+2), 2);   \
	FADD((a+3), (a+3), 3);   \
	VST1    [A.S4, B.S4, C.S4, D.S4], (R13); \
	ADD     R14, R13;        \
	SUBS    $1, R9;          \
	BEQ     end

// func tileNEON(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32)
TEXT ·tileNEON(SB), NOSPLIT, $0-160
	MOVD out_base+0(FP), R13
	MOVD stride+24(FP), R14
	LSL  $2, R14
	MOVD x_base+32(FP), R0
	MOVD in+56(FP), R7
	ADD  R7<<1, R0, R1
	ADD  R7<<1, R1, R2
	ADD  R7<<1, R2, R3
	ADD  R7<<1, R3, R4
	ADD  R7<<1, R4, R5
	MOVD xScale_base+64(FP), R10
	MOVD xScale_len+72(FP), R9
	MOVD w_base+88(FP), R8
	MOVD scale_base+112(FP), R11
	MOVD bias_base+136(FP), R12
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16
	VEOR V10.B16, V10.B16, V10.B16
	VEOR V11.B16, V11.B16, V11.B16
	VEOR V12.B16, V12.B16, V12.B16
	VEOR V13.B16, V13.B16, V13.B16
	VEOR V14.B16, V14.B16, V14.B16
	VEOR V15.B16, V15.B16, V15.B16
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16
	VEOR V24.B16, V24.B16, V24.B16
	VEOR V25.B16, V25.B16, V25.B16
	VEOR V26.B16, V26.B16, V26.B16
	VEOR V27.B16, V27.B16, V27.B16
	VEOR V28.B16, V28.B16, V28.B16
	VEOR V29.B16, V29.B16, V29.B16
	VEOR V30.B16, V30.B16, V30.B16
	VEOR V31.B16, V31.B16, V31.B16
	CMP  $5, R9
	BEQ  rows5
	BGT  rows6
	CMP  $3, R9
	BEQ  rows3
	BGT  rows4
	CMP  $2, R9
	BEQ  rows2

rows1:
	WEIGHTS
	ROW0(0, 1)
	WEIGHTS
	ROW0(2, 3)
	NEXT(rows1)
	B store

rows2:
	WEIGHTS
	ROW0(0, 1)
	ROW1(0, 1)
	WEIGHTS
	ROW0(2, 3)
	ROW1(2, 3)
	NEXT(rows2)
	B store

rows3:
	WEIGHTS
	ROW0(0, 1)
	ROW1(0, 1)
	ROW2(0, 1)
	WEIGHTS
	ROW0(2, 3)
	ROW1(2, 3)
	ROW2(2, 3)
	NEXT(rows3)
	B store

rows4:
	WEIGHTS
	ROW0(0, 1)
	ROW1(0, 1)
	ROW2(0, 1)
	ROW3(0, 1)
	WEIGHTS
	ROW0(2, 3)
	ROW1(2, 3)
	ROW2(2, 3)
	ROW3(2, 3)
	NEXT(rows4)
	B store

rows5:
	WEIGHTS
	ROW0(0, 1)
	ROW1(0, 1)
	ROW2(0, 1)
	ROW3(0, 1)
	ROW4(0, 1)
	WEIGHTS
	ROW0(2, 3)
	ROW1(2, 3)
	ROW2(2, 3)
	ROW3(2, 3)
	ROW4(2, 3)
	NEXT(rows5)
	B store

rows6:
	WEIGHTS
	ROW0(0, 1)
	ROW1(0, 1)
	ROW2(0, 1)
	ROW3(0, 1)
	ROW4(0, 1)
	ROW5(0, 1)
	WEIGHTS
	ROW0(2, 3)
	ROW1(2, 3)
	ROW2(2, 3)
	ROW3(2, 3)
	ROW4(2, 3)
	ROW5(2, 3)
	NEXT(rows6)

store:
	STORE(8, V8, V9, V10, V11)
	STORE(12, V12, V13, V14, V15)
	STORE(16, V16, V17, V18, V19)
	STORE(20, V20, V21, V22, V23)
	STORE(24, V24, V25, V26, V27)
	STORE(28, V28, V29, V30, V31)

end:
	RET

// func greatestNEON(x []float32) float32
TEXT ·greatestNEON(SB), NOSPLIT, $0-28
	MOVD x_base+0(FP), R0
	MOVD x_len+8(FP), R1
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16

greatest:
	VLD1.P 32(R0), [V0.S4, V1.S4]
	FABS(0, 0)
	FABS(1, 1)
	FMAX(2, 2, 0)
	FMAX(3, 3, 1)
	SUBS   $8, R1
	BNE    greatest

	FMAX(2, 2, 3)
	FMAXV(2, 2)
	FMOVS F2, ret+24(FP)
	RET

// func roundNEON(q []int16, x []float32, factor float32)
TEXT ·roundNEON(SB), NOSPLIT, $0-52
	MOVD  q_base+0(FP), R2
	MOVD  x_base+24(FP), R0
	MOVD  x_len+32(FP), R1
	FMOVS factor+48(FP), F5
	VDUP  V5.S[0], V5.S4

round:
	VLD1.P 32(R0), [V0.S4, V1.S4]
	FMUL(0, 0, 5)
	FMUL(1, 1, 5)
	FCVTNS(0, 0)
	FCVTNS(1, 1)
	SQXTN(2, 0)
	SQXTN2(2, 1)
	VST1.P [V2.H8], 16(R2)
	SUBS   $8, R1
	BNE    round
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

// func geluNEON(x []float32)
TEXT ·geluNEON(SB), NOSPLIT, $0-24
	MOVD    x_base+0(FP), R0
	MOVD    x_len+8(FP), R1
	MOVD    $gelu<>(SB), R2
	VLD1R.P 4(R2), [V16.S4]  // P, from its constant on
	VLD1R.P 4(R2), [V17.S4]
	VLD1R.P 4(R2), [V18.S4]
	VLD1R.P 4(R2), [V19.S4]
	VLD1R.P 4(R2), [V20.S4]
	VLD1R.P 4(R2), [V21.S4]  // Q, from x² on
	VLD1R.P 4(R2), [V22.S4]
	VLD1R.P 4(R2), [V23.S4]
	VLD1R.P 4(R2), [V24.S4]
	VLD1R.P 4(R2), [V25.S4]
	VLD1R.P 4(R2), [V26.S4]  // 1
	VLD1R.P 4(R2), [V27.S4]  // the ends
	VLD1R.P 4(R2), [V28.S4]
	VLD1R.P 4(R2), [V29.S4]  // ½

gelu:
	VLD1   (R0), [V0.S4]
	FMIN(1, 0, 27)
	FMAX(1, 1, 28)
	FMUL(2, 1, 1)
	FMUL(3, 20, 2)
	FMUL(4, 25, 2)
	FADD(3, 3, 19)
	FADD(4, 4, 24)
	FMUL(3, 3, 2)
	FMUL(4, 4, 2)
	FADD(3, 3, 18)
	FADD(4, 4, 23)
	FMUL(3, 3, 2)
	FMUL(4, 4, 2)
	FADD(3, 3, 17)
	FADD(4, 4, 22)
	FMUL(3, 3, 2)
	FMUL(4, 4, 2)
	FADD(3, 3, 16)
	FADD(4, 4, 21)
	FMUL(4, 4, 2)
	FADD(4, 4, 26)
	FDIV(3, 3, 4)
	FMUL(3, 3, 1)
	FADD(3, 3, 29)
	FMUL(0, 0, 3)
	VST1.P [V0.S4], 16(R0)
	SUBS   $4, R1
	BNE    gelu
	RET

// Adds the products of the number at a, which goes on, and sixteen of b, which are in V0 to V3, to a row's sums, which
// are in four registers from d on.
#define PRODUCT(a, d) \
	VLD1R.P 4(a), [V4.S4];  \
	FMUL(5, 0, 4);          \
	FMUL(6, 1, 4);          \
	FMUL(7, 2, 4);          \
	FMUL(4, 3, 4);          \
	FADD(d, d, 5);          \
	FADD((d+1), (d+1), 6);  \
	FADD((d+2), (d+2), 7);  \
	FADD((d+3), (d+3), 4)

// Writes a row's sums and goes to the next row.
#define WRITE(A, B, C, D) \
	VST1 [A.S4, B.S4, C.S4, D.S4], (R8); \
	ADD  R1, R8

// func multiplyNEON(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int)
//
// Sixteen columns at a time; of these, four rows at a time, then single ones.
TEXT ·multiplyNEON(SB), NOSPLIT, $0-120
	MOVD out_base+0(FP), R0
	MOVD outStride+24(FP), R1
	LSL  $2, R1
	MOVD aStride+56(FP), R3
	LSL  $2, R3
	MOVD b_base+64(FP), R4
	MOVD bStride+88(FP), R5
	LSL  $2, R5
	MOVD inner+104(FP), R6
	MOVD columns+112(FP), R7

columns:
	MOVD a_base+32(FP), R2
	MOVD R0, R8
	MOVD rows+96(FP), R9

rows:
	MOVD R4, R10
	MOVD R6, R11
	MOVD R2, R12
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	CMP  $4, R9
	BLT  single
	ADD  R3, R12, R13
	ADD  R3, R13, R14
	ADD  R3, R14, R15
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16
	VEOR V24.B16, V24.B16, V24.B16
	VEOR V25.B16, V25.B16, V25.B16
	VEOR V26.B16, V26.B16, V26.B16
	VEOR V27.B16, V27.B16, V27.B16
	VEOR V28.B16, V28.B16, V28.B16
	VEOR V29.B16, V29.B16, V29.B16
	VEOR V30.B16, V30.B16, V30.B16
	VEOR V31.B16, V31.B16, V31.B16

four:
	VLD1 (R10), [V0.S4, V1.S4, V2.S4, V3.S4]
	ADD  R5, R10
	PRODUCT(R12, 16)
	PRODUCT(R13, 20)
	PRODUCT(R14, 24)
	PRODUCT(R15, 28)
	SUBS $1, R11
	BNE  four

	WRITE(V16, V17, V18, V19)
	WRITE(V20, V21, V22, V23)
	WRITE(V24, V25, V26, V27)
	WRITE(V28, V29, V30, V31)
	ADD  R3<<2, R2
	SUBS $4, R9
	BNE  rows
	B    next

single:
	VLD1 (R10), [V0.S4, V1.S4, V2.S4, V3.S4]
	ADD  R5, R10
	PRODUCT(R12, 16)
	SUBS $1, R11
	BNE  single

	WRITE(V16, V17, V18, V19)
	ADD  R3, R2
	SUBS $1, R9
	BNE  rows

next:
	ADD  $64, R0
	ADD  $64, R4
	SUBS $16, R7
	BNE  columns
	RET
