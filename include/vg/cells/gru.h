/* GRU (Cho 2014, linear before reset as in torch.nn.GRU), gates r z n: n = tanh(x_n + r∘h_n),
 * h' = (1 - z)∘n + z∘h. State h; kept r, z, n, h_n. Arguments: cells/rnn.h. */
VF_FN void vg_gru_fwd(vg_activation activation, const vf *x, const vf *h, const vf *s, vf *s1,
                      vf *k)
{
    (void)activation;
    k[0] = vf_sigmoid(x[0] + h[0]);
    k[1] = vf_sigmoid(x[1] + h[1]);
    k[2] = vf_tanh(vf_fma(k[0], h[2], x[2]));
    k[3] = h[2];
    s1[0] = vf_fma(k[1], s[0] - k[2], k[2]);
}

VF_FN void vg_gru_bwd(vg_activation activation, const vf *k, const vf *s, const vf *s1, vf *ds1,
                      vf *dx, vf *dh, vf *ds)
{
    (void)activation;
    (void)s1;
    vf one = vf_set1(1);
    dx[2] = ds1[0] * (one - k[1]) * ((one + k[2]) * (one - k[2]));
    dx[0] = dx[2] * k[3] * (k[0] * (one - k[0]));
    dx[1] = ds1[0] * (s[0] - k[2]) * (k[1] * (one - k[1]));
    dh[0] = dx[0];
    dh[1] = dx[1];
    dh[2] = dx[2] * k[0];
    ds[0] = ds1[0] * k[1];
}
