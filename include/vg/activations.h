/* The activations over the vector type `vf`. Before including, define `vf` with its operators
 * + - * (unary minus too) and:
 *   vf_set1(c)              every lane c
 *   vf_fma(a, b, c)         a·b + c, rounded once
 *   vf_sigmoid(z), vf_tanh(z)
 *   vf_select_le0(z, a, b)  z <= 0 ? a : b, lane by lane (NaN takes b)
 *   vf_select_nan(z, a, b)  z is NaN ? a : b
 * VF_FN is what a function is declared with (static inline by default).
 * Every function takes alpha, which only leaky_relu looks at; derivatives are taken from the
 * output y = f(z). NaN stays NaN, forward and backward. */
#ifndef VF_FN
#define VF_FN static inline
#endif

VF_FN vf vf_identity(vf z, vf alpha)
{
    (void)alpha;
    return z;
}
VF_FN vf vf_identity_derivative(vf y, vf alpha)
{
    (void)alpha;
    return vf_select_nan(y, y, vf_set1(1));
}

VF_FN vf vf_sigmoid_of(vf z, vf alpha)
{
    (void)alpha;
    return vf_sigmoid(z);
}
/* y (1 - y) */
VF_FN vf vf_sigmoid_derivative(vf y, vf alpha)
{
    (void)alpha;
    return y * (vf_set1(1) - y);
}

VF_FN vf vf_tanh_of(vf z, vf alpha)
{
    (void)alpha;
    return vf_tanh(z);
}
/* (1 + y)(1 - y) */
VF_FN vf vf_tanh_derivative(vf y, vf alpha)
{
    (void)alpha;
    return (vf_set1(1) + y) * (vf_set1(1) - y);
}

VF_FN vf vf_relu(vf z, vf alpha)
{
    (void)alpha;
    return vf_select_le0(z, vf_set1(0), z);
}
VF_FN vf vf_relu_derivative(vf y, vf alpha)
{
    (void)alpha;
    return vf_select_nan(y, y, vf_select_le0(y, vf_set1(0), vf_set1(1)));
}

VF_FN vf vf_leaky_relu(vf z, vf alpha)
{
    return vf_select_le0(z, alpha * z, z);
}
VF_FN vf vf_leaky_relu_derivative(vf y, vf alpha)
{
    return vf_select_nan(y, y, vf_select_le0(y, alpha, vf_set1(1)));
}

/* By number, for a caller to whom `activation` is a constant. Maxout selects among pieces before
 * this point: its f is the identity here. */
VF_FN vf vf_activate(vg_activation activation, vf z, vf alpha)
{
    switch (activation) {
    case VG_sigmoid: return vf_sigmoid_of(z, alpha);
    case VG_tanh: return vf_tanh_of(z, alpha);
    case VG_relu: return vf_relu(z, alpha);
    case VG_leaky_relu: return vf_leaky_relu(z, alpha);
    default: return vf_identity(z, alpha);
    }
}

VF_FN vf vf_activation_derivative(vg_activation activation, vf y, vf alpha)
{
    switch (activation) {
    case VG_sigmoid: return vf_sigmoid_derivative(y, alpha);
    case VG_tanh: return vf_tanh_derivative(y, alpha);
    case VG_relu: return vf_relu_derivative(y, alpha);
    case VG_leaky_relu: return vf_leaky_relu_derivative(y, alpha);
    default: return vf_identity_derivative(y, alpha);
    }
}
