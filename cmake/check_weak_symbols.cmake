# cmake -DNM=nm -DOBJECTS=a.o;b.o -P check_weak_symbols.cmake
# Fails if an object built for one ISA defines a weak symbol: the linker could keep that copy (say, of an inline
# std::max compiled with -mavx512f) for the whole module and crash machines without the ISA.
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only -C ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${NM} failed on ${object}")
  endif()
  string(REGEX MATCHALL "[0-9a-f]+ [WVu] [^\n]*" weak "${symbols}")
  if(weak)
    string(REPLACE ";" "\n  " weak "${weak}")
    message(FATAL_ERROR "${object} defines weak symbols (move them into an anonymous namespace):\n  ${weak}")
  endif()
endforeach()
