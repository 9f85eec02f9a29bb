"""Fits the fraction in kernel.go: the Gaussian's integral from 0 to x is x·P(x²)/Q(x²) for |x| up to 5.6. P has five
coefficients, Q six of which the first is 1. Least squares at Chebyshev's points in u = x², weighted such that the
integral's absolute error counts; multiplied by Q of the round before, so that the problem is linear. Needs mpmath.
"""

from mpmath import cos, erf, lu_solve, matrix, mp, mpf, pi, polyval, sqrt

mp.dps = 50
END, POINTS, P, Q = mpf("5.6") ** 2, 400, 5, 5


def fit():
    us = [END / 2 * (1 + cos(pi * (2 * i + 1) / (2 * POINTS))) for i in range(POINTS)]
    values = [erf(sqrt(u / 2)) / (2 * sqrt(u)) for u in us]
    weights = [mpf(1)] * POINTS
    for _ in range(6):
        a, b = matrix(POINTS, P + Q), matrix(POINTS, 1)
        for i, (u, value) in enumerate(zip(us, values)):
            w, t = sqrt(u) * weights[i], u / END
            for j in range(P):
                a[i, j] = w * t**j
            for j in range(Q):
                a[i, P + j] = -w * value * t ** (j + 1)
            b[i] = w * value
        s = list(lu_solve(a.T * a, a.T * b))
        p, q = s[:P], [mpf(1)] + s[P:]
        weights = [1 / abs(polyval(q[::-1], u / END)) for u in us]
    return [c / END**i for i, c in enumerate(p)], [c / END**i for i, c in enumerate(q)]


if __name__ == "__main__":
    for name, coefficients in zip("PQ", fit()):
        print(name, [float(c) for c in coefficients])
