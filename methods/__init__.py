"""The built-in methods: plugins like any other, which import only what `reprbench` exports."""
