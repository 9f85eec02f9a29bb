#include "textflag.h"

// Sum of the four float64 of Y0, after the other three sums were added to it.
#define SUMUP \
	VADDPD Y1, Y0, Y0 \
	VADDPD Y3, Y2, Y2 \
	VADDPD Y2, Y0, Y0 \
	VEXTRACTF128 $1, Y0, X1 \
	VADDPD X1, X0, X0 \
	VHADDPD X0, X0, X0 \
	VZEROUPPER

// func dotAVX2(a, b *float32, n int) float64
// 16 floats a turn, widened to float64, in four sums.
TEXT ·dotAVX2(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), CX
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
dotloop:
	VCVTPS2PD (SI), Y4
	VCVTPS2PD 16(SI), Y5
	VCVTPS2PD 32(SI), Y6
	VCVTPS2PD 48(SI), Y7
	VCVTPS2PD (DI), Y8
	VCVTPS2PD 16(DI), Y9
	VCVTPS2PD 32(DI), Y10
	VCVTPS2PD 48(DI), Y11
	VFMADD231PD Y8, Y4, Y0
	VFMADD231PD Y9, Y5, Y1
	VFMADD231PD Y10, Y6, Y2
	VFMADD231PD Y11, Y7, Y3
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JG dotloop
	SUMUP
	MOVSD X0, ret+24(FP)
	RET

// func apartAVX2(a, b *float32, n int) float64
TEXT ·apartAVX2(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), CX
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
apartloop:
	VCVTPS2PD (SI), Y4
	VCVTPS2PD 16(SI), Y5
	VCVTPS2PD 32(SI), Y6
	VCVTPS2PD 48(SI), Y7
	VCVTPS2PD (DI), Y8
	VCVTPS2PD 16(DI), Y9
	VCVTPS2PD 32(DI), Y10
	VCVTPS2PD 48(DI), Y11
	VSUBPD Y8, Y4, Y4
	VSUBPD Y9, Y5, Y5
	VSUBPD Y10, Y6, Y6
	VSUBPD Y11, Y7, Y7
	VFMADD231PD Y4, Y4, Y0
	VFMADD231PD Y5, Y5, Y1
	VFMADD231PD Y6, Y6, Y2
	VFMADD231PD Y7, Y7, Y3
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JG apartloop
	SUMUP
	MOVSD X0, ret+24(FP)
	RET

// 32 dimensions of the row at p: widened to int16, times the query in Y8 and Y9, added to sum in pairs of int32.
#define PART(p, sum) \
	VPMOVSXBW (p), Y10 \
	VPMOVSXBW 16(p), Y11 \
	VPMADDWD Y8, Y10, Y10 \
	VPMADDWD Y9, Y11, Y11 \
	VPADDD Y10, sum, sum \
	VPADDD Y11, sum, sum \
	ADDQ $32, p

// func dotsAVX2(dst *int32, rows *int8, query *int16, count, stride int)
// Four rows at a time share the loads of the query; what is left goes one by one.
TEXT ·dotsAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ rows+8(FP), R8
	MOVQ query+16(FP), SI
	MOVQ count+24(FP), CX
	MOVQ stride+32(FP), DX
	LEAQ (DX)(DX*2), R13
	SUBQ $4, CX
	JL single
four:
	LEAQ (R8)(DX*1), R9
	LEAQ (R8)(DX*2), R10
	LEAQ (R8)(R13*1), R11
	MOVQ SI, BX
	MOVQ DX, AX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
fourloop:
	VMOVDQU (BX), Y8
	VMOVDQU 32(BX), Y9
	ADDQ $64, BX
	PART(R8, Y0)
	PART(R9, Y1)
	PART(R10, Y2)
	PART(R11, Y3)
	SUBQ $32, AX
	JG fourloop
	VPHADDD Y1, Y0, Y0
	VPHADDD Y3, Y2, Y2
	VPHADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVDQU X0, (DI)
	ADDQ $16, DI
	ADDQ R13, R8 // it has gone one row on by itself
	SUBQ $4, CX
	JGE four
single:
	ADDQ $4, CX
	JLE done
one:
	MOVQ SI, BX
	MOVQ DX, AX
	VPXOR Y0, Y0, Y0
oneloop:
	VMOVDQU (BX), Y8
	VMOVDQU 32(BX), Y9
	ADDQ $64, BX
	PART(R8, Y0)
	SUBQ $32, AX
	JG oneloop
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VPHADDD X0, X0, X0
	VPHADDD X0, X0, X0
	VMOVD X0, (DI)
	ADDQ $4, DI
	DECQ CX
	JG one
done:
	VZEROUPPER
	RET

// func largestAVX2(v *float32, n int) float32
TEXT ·largestAVX2(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ n+8(FP), CX
	VPCMPEQD Y2, Y2, Y2
	VPSRLD $1, Y2, Y2 // all bits but the sign
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
largestloop:
	VANDPS (SI), Y2, Y3
	VANDPS 32(SI), Y2, Y4
	VMAXPS Y3, Y0, Y0
	VMAXPS Y4, Y1, Y1
	ADDQ $64, SI
	SUBQ $16, CX
	JG largestloop
	VMAXPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4E, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xB1, X0, X1
	VMAXPS X1, X0, X0
	VZEROUPPER
	MOVSS X0, ret+16(FP)
	RET

// 8 floats at SI, times the inverse in Y8, rounded to bytes at DI. What it takes, v − scale·code with one rounding, is
// widened to float64 and its square added to Y0 and Y1.
#define ROUND(at, to) \
	VMOVUPS at(SI), Y2 \
	VMULPS Y8, Y2, Y3 \
	VCVTPS2DQ Y3, Y3 \
	VCVTDQ2PS Y3, Y4 \
	VFNMADD231PS Y9, Y4, Y2 \
	VEXTRACTF128 $1, Y2, X5 \
	VCVTPS2PD X2, Y2 \
	VCVTPS2PD X5, Y5 \
	VFMADD231PD Y2, Y2, Y0 \
	VFMADD231PD Y5, Y5, Y1 \
	VEXTRACTI128 $1, Y3, X4 \
	VPACKSSDW X4, X3, X3 \
	VPACKSSWB X3, X3, X3 \
	VMOVQ X3, to(DI)

// func round8AVX2(codes *int8, v *float32, n int, scale float32) float64
TEXT ·round8AVX2(SB), NOSPLIT, $0-40
	MOVQ codes+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y9
	MOVL $0x3F800000, AX // 1
	VMOVD AX, X8
	VDIVSS X9, X8, X8
	VBROADCASTSS X8, Y8
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
roundloop:
	ROUND(0, 0)
	ROUND(32, 8)
	ADDQ $64, SI
	ADDQ $16, DI
	SUBQ $16, CX
	JG roundloop
	VADDPD Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD X1, X0, X0
	VHADDPD X0, X0, X0
	VZEROUPPER
	MOVSD X0, ret+32(FP)
	RET
