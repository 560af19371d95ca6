# cmake -DMODULE=_C.so -P print_size.cmake
# Prints the size of the built module.
file(SIZE ${MODULE} bytes)
math(EXPR tenths "${bytes} / 100000")
math(EXPR whole "${tenths} / 10")
math(EXPR rest "${tenths} % 10")
get_filename_component(name ${MODULE} NAME)
message("fastcnn: ${name} has ${whole}.${rest} MB")
