/* Vanilla RNN (Elman 1990; torch.nn.RNN): h' = f(x + h), x = W_ih x_t + b_ih, h = W_hh h_{t-1} +
 * b_hh. Arguments as for every cell, on registers over `vf` (see activations.h): fwd:
 * pre-activations x[G] and h[G], states before s[S]  ->  states after s1[S], kept values k[K] bwd:
 * k, s, s1, and ds1[S], what comes back into s1 (h: from above and from step t + 1 together)
 *        ->  dx[G] by the input's pre-activation, dh[G] by the recurrent one (only where the cell's
 *        gates differ; else null), ds[S] by s without the part through W_hh; ds1 is left as the
 * total derivative by s1 over all paths. */
VF_FN void vg_rnn_fwd(vg_activation activation, const vf *x, const vf *h, const vf *s, vf *s1,
                      vf *k)
{
    (void)s;
    (void)k;
    s1[0] = vf_activate(activation, x[0] + h[0], vf_set1(0));
}

VF_FN void vg_rnn_bwd(vg_activation activation, const vf *k, const vf *s, const vf *s1, vf *ds1,
                      vf *dx, vf *dh, vf *ds)
{
    (void)k;
    (void)s;
    (void)dh;
    dx[0] = ds1[0] * vf_activation_derivative(activation, s1[0], vf_set1(0));
    ds[0] = vf_set1(0);
}
