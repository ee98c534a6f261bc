// Plain kernels that read and write memory, to compare a step's bandwidth with. n counts float4.
extern "C" __global__ void scale(float4* p, unsigned long long n, float factor) {
    for (unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x; i < n; i += (unsigned long long)gridDim.x * blockDim.x) {
        float4 x = p[i];
        x.x *= factor; x.y *= factor; x.z *= factor; x.w *= factor;
        p[i] = x;
    }
}

// As many streams as a step of Adam has: four are read, three of them written.
extern "C" __global__ void four_streams(float4* p, const float4* g, float4* m, float4* v, unsigned long long n, float factor) {
    for (unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x; i < n; i += (unsigned long long)gridDim.x * blockDim.x) {
        float4 a = p[i], b = g[i], c = m[i], d = v[i];
        a.x += factor * b.x; a.y += factor * b.y; a.z += factor * b.z; a.w += factor * b.w;
        c.x += factor * b.x; c.y += factor * b.y; c.z += factor * b.z; c.w += factor * b.w;
        d.x += factor * b.x; d.y += factor * b.y; d.z += factor * b.z; d.w += factor * b.w;
        p[i] = a;
        m[i] = c;
        v[i] = d;
    }
}
