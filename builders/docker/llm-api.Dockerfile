# NVIDIA's server with TensorRT-LLM's LLM API, and what our models import. Not yet run.
ARG TAG=26.07-trtllm-python-py3
FROM nvcr.io/nvidia/tritonserver:${TAG}
ARG PYTHON=/opt/venv-tritonserver/bin/python3

# --no-deps: the container's torch, TensorRT, CUDA and numpy stay as they are. Its openai does not:
# TensorRT-LLM 1.2.1 imports what 1.107.3 lacks (requirements/serve-gpu-llm-api.in).
COPY requirements/serve-gpu-llm-api.lock /opt/triton-rag/
RUN ${PYTHON} -m pip install --no-cache-dir --no-deps -r /opt/triton-rag/serve-gpu-llm-api.lock

# The stub of Triton's Python backend ignores PYTHONPATH, but not a .pth file.
COPY ensembles /opt/triton-rag/ensembles
COPY python_backends /opt/triton-rag/python_backends
RUN ${PYTHON} -c "import site; open(site.getsitepackages()[0] + '/triton_rag.pth', 'w').write('/opt/triton-rag\n')"
