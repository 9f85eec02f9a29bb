#include "textflag.h"

// Go's assembler has no names for some instructions: they stand as words, each with its name behind it.

// Four products of 2 float64 each of V16 to V19 and V20 to V23, added to V0 to V3.
#define FMLA4(x0, x1, x2, x3) \
	VFMLA x0.D2, V16.D2, V0.D2 \
	VFMLA x1.D2, V17.D2, V1.D2 \
	VFMLA x2.D2, V18.D2, V2.D2 \
	VFMLA x3.D2, V19.D2, V3.D2

// 8 floats at R0 and at R1, widened to float64 in V16 to V19 and V20 to V23.
#define WIDEN \
	VLD1.P 32(R0), [V8.S4, V9.S4] \
	VLD1.P 32(R1), [V10.S4, V11.S4] \
	WORD $0x0e617910 \ // fcvtl v16.2d, v8.2s
	WORD $0x4e617911 \ // fcvtl2 v17.2d, v8.4s
	WORD $0x0e617932 \ // fcvtl v18.2d, v9.2s
	WORD $0x4e617933 \ // fcvtl2 v19.2d, v9.4s
	WORD $0x0e617954 \ // fcvtl v20.2d, v10.2s
	WORD $0x4e617955 \ // fcvtl2 v21.2d, v10.4s
	WORD $0x0e617976 \ // fcvtl v22.2d, v11.2s
	WORD $0x4e617977   // fcvtl2 v23.2d, v11.4s

#define SUMUP \
	WORD $0x4e61d400 \ // fadd v0.2d, v0.2d, v1.2d
	WORD $0x4e63d442 \ // fadd v2.2d, v2.2d, v3.2d
	WORD $0x4e62d400 \ // fadd v0.2d, v0.2d, v2.2d
	WORD $0x7e70d800   // faddp d0, v0.2d

#define ZERO \
	VEOR V0.B16, V0.B16, V0.B16 \
	VEOR V1.B16, V1.B16, V1.B16 \
	VEOR V2.B16, V2.B16, V2.B16 \
	VEOR V3.B16, V3.B16, V3.B16

// func dotNEON(a, b *float32, n int) float64
TEXT ·dotNEON(SB), NOSPLIT, $0-32
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	ZERO
dotloop:
	WIDEN
	FMLA4(V20, V21, V22, V23)
	SUBS $8, R2
	BGT dotloop
	SUMUP
	FMOVD F0, ret+24(FP)
	RET

// func apartNEON(a, b *float32, n int) float64
TEXT ·apartNEON(SB), NOSPLIT, $0-32
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	ZERO
apartloop:
	WIDEN
	WORD $0x4ef4d610 // fsub v16.2d, v16.2d, v20.2d
	WORD $0x4ef5d631 // fsub v17.2d, v17.2d, v21.2d
	WORD $0x4ef6d652 // fsub v18.2d, v18.2d, v22.2d
	WORD $0x4ef7d673 // fsub v19.2d, v19.2d, v23.2d
	FMLA4(V16, V17, V18, V19)
	SUBS $8, R2
	BGT apartloop
	SUMUP
	FMOVD F0, ret+24(FP)
	RET

// 32 bytes of a row at p, widened to int16 in V16 to V19.
#define ROW(p) \
	VLD1.P 32(p), [V12.B16, V13.B16] \
	WORD $0x0f08a590 \ // sxtl v16.8h, v12.8b
	WORD $0x4f08a591 \ // sxtl2 v17.8h, v12.16b
	WORD $0x0f08a5b2 \ // sxtl v18.8h, v13.8b
	WORD $0x4f08a5b3   // sxtl2 v19.8h, v13.16b

// Their products with the query in V8 to V11, added to V0 and V1.
#define MULTIPLY01 \
	WORD $0x0e688200 \ // smlal v0.4s, v16.4h, v8.4h
	WORD $0x4e688201 \ // smlal2 v1.4s, v16.8h, v8.8h
	WORD $0x0e698220 \ // smlal v0.4s, v17.4h, v9.4h
	WORD $0x4e698221 \ // smlal2 v1.4s, v17.8h, v9.8h
	WORD $0x0e6a8240 \ // smlal v0.4s, v18.4h, v10.4h
	WORD $0x4e6a8241 \ // smlal2 v1.4s, v18.8h, v10.8h
	WORD $0x0e6b8260 \ // smlal v0.4s, v19.4h, v11.4h
	WORD $0x4e6b8261   // smlal2 v1.4s, v19.8h, v11.8h

// The same, added to V2 and V3.
#define MULTIPLY23 \
	WORD $0x0e688202 \ // smlal v2.4s, v16.4h, v8.4h
	WORD $0x4e688203 \ // smlal2 v3.4s, v16.8h, v8.8h
	WORD $0x0e698222 \ // smlal v2.4s, v17.4h, v9.4h
	WORD $0x4e698223 \ // smlal2 v3.4s, v17.8h, v9.8h
	WORD $0x0e6a8242 \ // smlal v2.4s, v18.4h, v10.4h
	WORD $0x4e6a8243 \ // smlal2 v3.4s, v18.8h, v10.8h
	WORD $0x0e6b8262 \ // smlal v2.4s, v19.4h, v11.4h
	WORD $0x4e6b8263   // smlal2 v3.4s, v19.8h, v11.8h

// The sum of a and b to dst.
#define STORE(a, b) \
	VADD b.S4, a.S4, a.S4 \
	VADDV a.S4, a \
	VMOV a.S[0], R8 \
	MOVW.P R8, 4(R0)

// func dotsNEON(dst *int32, rows *int8, query *int16, count, stride int)
// Two rows at a time share the loads of the query; an odd one goes alone.
TEXT ·dotsNEON(SB), NOSPLIT, $0-40
	MOVD dst+0(FP), R0
	MOVD rows+8(FP), R1
	MOVD query+16(FP), R2
	MOVD count+24(FP), R3
	MOVD stride+32(FP), R4
	SUBS $2, R3
	BLT single
two:
	ADD R4, R1, R5
	MOVD R2, R6
	MOVD R4, R7
	ZERO
twoloop:
	VLD1.P 64(R6), [V8.H8, V9.H8, V10.H8, V11.H8]
	ROW(R1)
	MULTIPLY01
	ROW(R5)
	MULTIPLY23
	SUBS $32, R7
	BGT twoloop
	STORE(V0, V1)
	STORE(V2, V3)
	MOVD R5, R1
	SUBS $2, R3
	BGE two
single:
	ADDS $2, R3
	BLE done
	MOVD R2, R6
	MOVD R4, R7
	ZERO
oneloop:
	VLD1.P 64(R6), [V8.H8, V9.H8, V10.H8, V11.H8]
	ROW(R1)
	MULTIPLY01
	SUBS $32, R7
	BGT oneloop
	STORE(V0, V1)
done:
	RET
