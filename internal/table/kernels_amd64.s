#include "textflag.h"

// A bit in R8 for each of the 64 kinds at DI that is the one in every byte of Y1.
#define KINDS \
	VPCMPEQB (DI), Y1, Y2 \
	VPCMPEQB 32(DI), Y1, Y3 \
	VPMOVMSKB Y2, R8 \
	VPMOVMSKB Y3, R9 \
	SHLQ $32, R9 \
	ORQ R9, R8

// Four cells at SI, the bits of those that are Y0 put below those in into.
#define EQUAL(at, into) \
	VPCMPEQQ at(SI), Y0, Y2 \
	VMOVMSKPD Y2, R10 \
	SHLQ $4, into \
	ORQ R10, into

// func equalAVX2(values *[64]uint64, kinds *[64]cellKind, want uint64, kind cellKind) uint64
TEXT ·equalAVX2(SB), NOSPLIT, $0-40
	MOVQ values+0(FP), SI
	MOVQ kinds+8(FP), DI
	VPBROADCASTQ want+16(FP), Y0
	VPBROADCASTB kind+24(FP), Y1
	KINDS
	XORQ AX, AX
	XORQ BX, BX
	EQUAL(480, AX)
	EQUAL(224, BX)
	EQUAL(448, AX)
	EQUAL(192, BX)
	EQUAL(416, AX)
	EQUAL(160, BX)
	EQUAL(384, AX)
	EQUAL(128, BX)
	EQUAL(352, AX)
	EQUAL(96, BX)
	EQUAL(320, AX)
	EQUAL(64, BX)
	EQUAL(288, AX)
	EQUAL(32, BX)
	EQUAL(256, AX)
	EQUAL(0, BX)
	SHLQ $32, AX
	ORQ BX, AX
	ANDQ R8, AX
	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET

// Four cells at SI, the bits of those from Y0 to Y4 put below those in into.
#define INSIDE(at, into) \
	VMOVUPD at(SI), Y2 \
	VCMPPD $2, Y2, Y0, Y3 \
	VCMPPD $2, Y4, Y2, Y2 \
	VANDPD Y3, Y2, Y2 \
	VMOVMSKPD Y2, R10 \
	SHLQ $4, into \
	ORQ R10, into

// func insideAVX2(values *[64]float64, kinds *[64]cellKind, low, up float64, kind cellKind) uint64
TEXT ·insideAVX2(SB), NOSPLIT, $0-48
	MOVQ values+0(FP), SI
	MOVQ kinds+8(FP), DI
	VBROADCASTSD low+16(FP), Y0
	VBROADCASTSD up+24(FP), Y4
	VPBROADCASTB kind+32(FP), Y1
	KINDS
	XORQ AX, AX
	XORQ BX, BX
	INSIDE(480, AX)
	INSIDE(224, BX)
	INSIDE(448, AX)
	INSIDE(192, BX)
	INSIDE(416, AX)
	INSIDE(160, BX)
	INSIDE(384, AX)
	INSIDE(128, BX)
	INSIDE(352, AX)
	INSIDE(96, BX)
	INSIDE(320, AX)
	INSIDE(64, BX)
	INSIDE(288, AX)
	INSIDE(32, BX)
	INSIDE(256, AX)
	INSIDE(0, BX)
	SHLQ $32, AX
	ORQ BX, AX
	ANDQ R8, AX
	VZEROUPPER
	MOVQ AX, ret+40(FP)
	RET
