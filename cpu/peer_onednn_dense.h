/* A dense layer of the device cpu.onednn: where its tensors are, and the steps of its passes. */
#ifndef VG_PEER_ONEDNN_DENSE_H
#define VG_PEER_ONEDNN_DENSE_H

#include "peer_onednn.h"

typedef struct vg_onednn_dense {
    vg_exec *exec;
    uint32_t index;
    bool readout;
    vg_activation activation;
    float alpha;
    dnnl_dim_t batch, in, out;
    /* y and dy: of this layer; x and dx: of the one below. */
    dnnl_memory_t x_at, y_at, dx_at, dy_at, dz_at, weight, dweight, bias, dbias;
    dnnl_memory_t forward_weight; /* as the forward product has them */
} vg_onednn_dense;

/* Memory for dz: of the identity, dy itself. */
vg_status vg_onednn_dense_dz(vg_onednn_dense *d);

/* These add their steps to the exec. Forward comes first. */
vg_status vg_onednn_dense_forward(vg_onednn_dense *d, vg_onednn_form f);
/* dz from dy and y; the identity's dz is dy. */
vg_status vg_onednn_dense_derivative(vg_onednn_dense *d);
/* dx = dz W. */
vg_status vg_onednn_dense_by_data(vg_onednn_dense *d, vg_onednn_form f);
/* dW = dzᵀ x and the bias sums, which this primitive overwrites. */
vg_status vg_onednn_dense_by_weights(vg_onednn_dense *d, vg_onednn_form f);

#endif
