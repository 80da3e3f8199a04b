/* LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000; torch.nn.LSTM), gates
 * i f g o: c' = f∘c + i∘g, h' = o∘tanh(c'). States h, c; kept i, f, g, o. Arguments: cells/rnn.h.
 */
VF_FN void vg_lstm_fwd(vg_activation activation, const vf *x, const vf *h, const vf *s, vf *s1,
                       vf *k)
{
    (void)activation;
    k[0] = vf_sigmoid(x[0] + h[0]);
    k[1] = vf_sigmoid(x[1] + h[1]);
    k[2] = vf_tanh(x[2] + h[2]);
    k[3] = vf_sigmoid(x[3] + h[3]);
    s1[1] = vf_fma(k[1], s[1], k[0] * k[2]);
    s1[0] = k[3] * vf_tanh(s1[1]);
}

VF_FN void vg_lstm_bwd(vg_activation activation, const vf *k, const vf *s, const vf *s1, vf *ds1,
                       vf *dx, vf *dh, vf *ds)
{
    (void)activation;
    (void)dh;
    vf one = vf_set1(1), tc = vf_tanh(s1[1]);
    ds1[1] = vf_fma(ds1[0] * k[3], (one + tc) * (one - tc), ds1[1]);
    dx[0] = ds1[1] * k[2] * (k[0] * (one - k[0]));
    dx[1] = ds1[1] * s[1] * (k[1] * (one - k[1]));
    dx[2] = ds1[1] * k[0] * ((one + k[2]) * (one - k[2]));
    dx[3] = ds1[0] * tc * (k[3] * (one - k[3]));
    ds[0] = vf_set1(0);
    ds[1] = ds1[1] * k[1];
}
