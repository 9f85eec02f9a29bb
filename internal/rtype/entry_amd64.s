#include "textflag.h"

// An entry point is what a method table holds: code that is called with the receiver as first argument, as any Go
// function is. It puts closures[i] in the register where a func value's code expects its context (DX) and goes on to
// that code, with all arguments where the caller put them and nothing on the stack: to the runtime it is as if the
// func value had been called. Each takes 16 bytes, so that Go code can reckon where the i-th begins.

#define ENTRY(i) PCALIGN $16; MOVL $(i), R12; JMP enter;
#define ENTRY4(i)    ENTRY((i)) ENTRY((i)+1) ENTRY((i)+2) ENTRY((i)+3)
#define ENTRY16(i)   ENTRY4((i)) ENTRY4((i)+4) ENTRY4((i)+8) ENTRY4((i)+12)
#define ENTRY64(i)   ENTRY16((i)) ENTRY16((i)+16) ENTRY16((i)+32) ENTRY16((i)+48)
#define ENTRY256(i)  ENTRY64((i)) ENTRY64((i)+64) ENTRY64((i)+128) ENTRY64((i)+192)
#define ENTRY1024(i) ENTRY256((i)) ENTRY256((i)+256) ENTRY256((i)+512) ENTRY256((i)+768)
#define ENTRY4096(i) ENTRY1024((i)) ENTRY1024((i)+1024) ENTRY1024((i)+2048) ENTRY1024((i)+3072)

// func entryPoints()
TEXT ·entryPoints(SB), NOSPLIT|NOFRAME, $0-0
	ENTRY4096(0)
	ENTRY4096(4096)
	ENTRY4096(8192)
	ENTRY4096(12288)
	ENTRY4096(16384)
	ENTRY4096(20480)
	ENTRY4096(24576)
	ENTRY4096(28672)
enter:
	LEAQ ·closures(SB), R13
	MOVQ (R13)(R12*8), DX
	JMP  (DX)

// forward is the code of the func values that Funcs makes, which hold their target in the second word: it is called in
// place of them, in the same way as above.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ 8(DX), DX
	JMP  (DX)

// func forwardBase() unsafe.Pointer
TEXT ·forwardBase(SB), NOSPLIT, $0-8
	LEAQ ·forward(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func entryBase() unsafe.Pointer
TEXT ·entryBase(SB), NOSPLIT, $0-8
	LEAQ ·entryPoints(SB), AX
	MOVQ AX, ret+0(FP)
	RET
