# loadgen for compose.yaml: the command, with PostgreSQL's driver, and nothing of CUDA.
FROM python:3.12-slim
WORKDIR /loadgen
COPY pyproject.toml constraints.txt README.md CHANGELOG.md ./
COPY loadgen loadgen
COPY templates templates
COPY server_profiles server_profiles
COPY studies studies
COPY compose.yaml compose.yaml
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[postgres]' && mkdir /results
WORKDIR /results
ENTRYPOINT ["loadgen"]
