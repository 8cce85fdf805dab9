-- The demo's index, with every option at its default.

CREATE INDEX packages_embedding_idx ON packages USING ivf (embedding vector_cosine_ops);
