package rtype

const entrySize = 16
