# NVIDIA's server with the C++ backend for TensorRT engines, and what our models import. Not yet run.
ARG TAG=26.07-trtllm-python-py3
FROM nvcr.io/nvidia/tritonserver:${TAG}
ARG PYTHON=/opt/venv-tritonserver/bin/python3

# --no-deps: the container's torch, TensorRT, CUDA and numpy stay as they are.
COPY requirements/serve-gpu.lock /opt/triton-rag/
RUN ${PYTHON} -m pip install --no-cache-dir --no-deps -r /opt/triton-rag/serve-gpu.lock

# The stub of Triton's Python backend ignores PYTHONPATH, but not a .pth file.
COPY ensembles /opt/triton-rag/ensembles
COPY python_backends /opt/triton-rag/python_backends
RUN ${PYTHON} -c "import site; open(site.getsitepackages()[0] + '/triton_rag.pth', 'w').write('/opt/triton-rag\n')"
