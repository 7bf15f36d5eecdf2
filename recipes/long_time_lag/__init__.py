"""Long time lags: the experiment that made the LSTM famous, with every member of the family."""
