"""Reports of studies: each figure as the paper has it and as it was measured, and every claim with its verdict."""
