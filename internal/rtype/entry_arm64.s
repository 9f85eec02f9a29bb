#include "textflag.h"

// An entry point is what a method table holds: code that is called with the receiver as first argument, as any Go
// function is. It puts closures[i] in the register where a func value's code expects its context (R26) and goes on to
// that code, with all arguments where the caller put them and nothing on the stack: to the runtime it is as if the
// func value had been called. Each takes 8 bytes, so that Go code can reckon where the i-th begins.

#define ENTRY(i) MOVD $(i), R16; B enter;
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
	MOVD $·closures(SB), R17
	MOVD (R17)(R16<<3), R26
	MOVD (R26), R17
	B    (R17)

// forward is the code of the func values that Funcs makes, which hold their target in the second word: it is called in
// place of them, in the same way as above.
TEXT ·forward(SB), NOSPLIT|NOFRAME, $0-0
	MOVD 8(R26), R26
	MOVD (R26), R17
	B    (R17)

// func forwardBase() unsafe.Pointer
TEXT ·forwardBase(SB), NOSPLIT, $0-8
	MOVD $·forward(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func entryBase() unsafe.Pointer
TEXT ·entryBase(SB), NOSPLIT, $0-8
	MOVD $·entryPoints(SB), R0
	MOVD R0, ret+0(FP)
	RET
