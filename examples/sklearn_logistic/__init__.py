"""Will it rain within the hour? scikit-learn in the place of torch."""
